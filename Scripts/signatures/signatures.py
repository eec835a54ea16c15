"""Signatures of the allocators in static libraries: prints the Swift file that holds them.

usage: signatures.py (NAME PACKAGE VERSION ARCHIVE)...

A signature has no code of the library in it: of each function its size, which bytes the linker changes, and a hash of the
others up to 512 bytes; of each section a run of 16 bytes by which it is looked for.
"""

import struct
import sys

C_NAMES = [
    "malloc", "free", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign", "valloc", "pvalloc",
    "mallocx", "rallocx", "dallocx", "sdallocx",
]
ALIGNED = "St11align_val_t"
OPERATORS = [f + s for f in ("_Znwm", "_Znam") for s in ("", "RKSt9nothrow_t", ALIGNED, ALIGNED + "RKSt9nothrow_t")] + [
    f + s
    for f in ("_ZdlPv", "_ZdaPv")
    for s in ("", "m", "RKSt9nothrow_t", ALIGNED, "m" + ALIGNED, ALIGNED + "RKSt9nothrow_t")
]
# musl's malloc and free are a jump each; what does the work has other names.
INTERNAL = {"__libc_malloc_impl": "malloc", "__libc_free": "free", "__libc_realloc": "realloc"}
LONGEST = 512
ANCHOR = 16

# Kinds of relocations: how many bytes before and behind the place the linker may write. Where it can turn a load into
# another instruction, that is the whole instruction.
WRITTEN = {
    1: (0, 8), 2: (0, 4), 4: (0, 4), 9: (0, 4), 10: (0, 4), 11: (0, 4), 17: (0, 8), 19: (4, 12), 20: (3, 9), 21: (0, 4),
    22: (3, 4), 23: (0, 4), 24: (0, 8), 26: (0, 4), 34: (3, 4), 35: (0, 2), 41: (2, 4), 42: (3, 4),
}
CALLS = (2, 4)


def members(path):
    data = open(path, "rb").read()
    assert data[:8] == b"!<arch>\n"
    place, names = 8, b""
    while place + 60 <= len(data):
        name, size = data[place : place + 16].rstrip(), int(data[place + 48 : place + 58])
        body = data[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
        if name == b"//":
            names = body
        elif body[:4] == b"\x7fELF":
            if name[:1] == b"/":
                name = names[int(name[1:]) :].split(b"/\n")[0]
            yield name.decode().rstrip("/"), body


class Object:
    def __init__(self, data):
        self.data = data
        table, = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
        self.symbols = []
        for section in self.sections:
            if section[1] == 2:
                strings = self.body(self.sections[section[6]])
                body = self.body(section)
                for i in range(0, len(body), 24):
                    name, info, _, index, value, length = struct.unpack_from("<IBBHQQ", body, i)
                    text = strings[name : strings.index(b"\0", name)].decode()
                    # Weak is what musl has for malloc in programs that never free.
                    if info >> 4 != 2 or text not in INTERNAL:
                        self.symbols.append((text, info & 15, index, value, length))
                    else:
                        self.symbols.append((text, info & 15, 0, value, length))
        self.relocations = {}
        for section in self.sections:
            if section[1] == 4:
                body = self.body(section)
                self.relocations[section[7]] = [struct.unpack_from("<QQq", body, i) for i in range(0, len(body), 24)]

    def body(self, section):
        return self.data[section[4] : section[4] + section[5]] if section[1] != 8 else b""


def hashed(values):
    state = 0xCBF29CE484222325
    for value in values:
        state = ((state ^ value) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state


class Unit:
    """The functions of one section of one object, which the linker keeps together."""

    def __init__(self, obj, index, functions):
        self.obj, self.index, self.functions = obj, index, functions
        self.code = obj.body(obj.sections[index])
        self.written = bytearray(len(self.code))
        for place, info, _ in obj.relocations.get(index, []):
            before, behind = WRITTEN[info & 0xFFFFFFFF]
            for i in range(max(0, place - before), min(len(self.code), place + behind)):
                self.written[i] = 1

    def anchor(self):
        """The rarest-looking run of bytes that the linker leaves alone, in the largest function."""
        best = None
        for name, start, size in sorted(self.functions, key=lambda f: -f[2]):
            for i in range(start, start + min(size, LONGEST) - ANCHOR):
                run = self.code[i : i + ANCHOR]
                if not any(self.written[i : i + ANCHOR]):
                    rank = len(set(run))
                    if best is None or rank > best[0]:
                        best = (rank, i, run)
            if best:
                return best[1], best[2]
        return None

    def lines(self, calls):
        place, run = self.anchor()
        yield f"unit {place:x} {run.hex()}"
        for name, start, size in self.functions:
            length = min(size, LONGEST)
            kept = [self.code[start + i] for i in range(length) if not self.written[start + i]]
            gaps, i = [], 0
            while i < length:
                if self.written[start + i]:
                    end = i
                    while end < length and self.written[start + end]:
                        end += 1
                    gaps.append(f"{i:x}+{end - i:x}")
                    i = end
                else:
                    i += 1
            yield f"function {name} {start:x} {size:x} {hashed(kept):016x} {','.join(gaps) or '-'}"
        for place, unit, target in calls:
            yield f"call {place:x} {unit} {target:x}"


def library(archive):
    units = []
    for name, data in members(archive):
        obj = Object(data)
        sections = {}
        for symbol, kind, index, value, size in obj.symbols:
            known = INTERNAL.get(symbol) if "musl" in archive else symbol
            known = known or ("aligned_alloc" if symbol == "aligned_alloc" and size > 64 else None)
            if kind != 2 or index == 0 or index >= 0xFF00 or size == 0 or known not in C_NAMES + OPERATORS:
                continue
            if "musl" in archive and size < 256:
                continue
            places = sections.setdefault(index, {})
            rank = (C_NAMES + OPERATORS).index(known)
            if value not in places or rank < places[value][0]:
                places[value] = (rank, known, value, size)
        for index, places in sections.items():
            functions = [place[1:] for place in sorted(places.values())]
            unit = Unit(obj, index, functions)
            if sum(size for _, _, size in functions) >= 200 and unit.anchor():
                units.append(unit)
    return units


def calls_of(unit, units):
    """Calls of a function of another unit, by which the two prove each other."""
    found = []
    for place, info, addend in unit.obj.relocations.get(unit.index, []):
        if info & 0xFFFFFFFF not in CALLS or unit.code[place - 1 : place] not in (b"\xe8", b"\xe9"):
            continue
        if not any(start <= place < start + size for _, start, size in unit.functions):
            continue
        symbol = unit.obj.symbols[info >> 32][0]
        for number, other in enumerate(units):
            if other is unit:
                continue
            for text, kind, index, value, _ in other.obj.symbols:
                if text == symbol and index == other.index and addend == -4:
                    if any(start == value for _, start, _ in other.functions):
                        found.append((place, number, value))
    return found[:8]


def main(arguments):
    print("// Written by Scripts/draw-signatures from static libraries of Debian: do not edit.")
    print()
    print("extension AllocatorSignature {")
    print("  /// What `AllocatorSignature.parsed` reads.")
    print('  static let text = """')
    for name, package, version, archive in zip(*[iter(arguments)] * 4):
        units = library(archive)
        names = [function[0] for unit in units for function in unit.functions]
        assert "malloc" in names and "free" in names, (archive, names)
        print(f"    library {name} {package} {version}")
        for unit in units:
            for line in unit.lines(calls_of(unit, units)):
                print("    " + line)
    print('    """')
    print("}")


main(sys.argv[1:])
