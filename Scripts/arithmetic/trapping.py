"""Which files of the product use arithmetic of the standard library that ends the program when a result does not fit.

The compiler's index of a debug build has, for each file, every function that it refers to. In the modules of the product the
operators of integers and conversions between them must be those of the module SaturatingIntegers. Prints what is not.

  trapping.py INDEX PROBE    INDEX: the index store of a build; PROBE: that of a file that has each operation once
"""

import pathlib
import re
import sys

INTEGER = rb"(?:Si|Su|s5UInt8V|s6UInt16V|s6UInt32V|s6UInt64V|s4Int8V|s5Int16V|s5Int32V|s5Int64V)"
# As the compiler names them: the type, then `p` for plus and so on, `oi` for an infix operator.
OPERATIONS = {
    "an operator of an integer": INTEGER + rb"(?:1[psmdr]oi|2[psmdr]eoi)y",
    "negation": rb"s13SignedNumericP1sop",
    "a conversion of an integer": rb"S[ZU]ss17FixedWidthIntegerRzrlEyxqd__cSzRd__lufc|" + INTEGER + rb"y(?:AB|S[iu])xcSzRzlufc",
    "a conversion of a floating-point number": INTEGER + rb"y(?:AB|S[iu])Sdcfc",
}
# The module whose operators the others use is made of the standard library's.
EXEMPT = {"SaturatingIntegers"}


def operations(record):
    text = record.read_bytes()
    return {name for name, pattern in OPERATIONS.items() if re.search(rb"s:(?:" + pattern + rb")", text)}


def files(index):
    """The module, the name and the record of every file that the index knows."""
    for unit in (index / "v5" / "units").iterdir():
        text = unit.read_bytes()
        output = re.search(rb"([\w-]+)\.build/([\w+-]+)\.swift\.o", text)
        for name in {match.decode() for match in re.findall(rb"[\w+-]+\.swift-[0-9A-Z]+", text)}:
            record = index / "v5" / "records" / name[-2:] / name
            if record.exists():
                yield output[1].decode() if output else "", name.split(".swift-")[0], record


def main():
    index, probe = (pathlib.Path(argument) for argument in sys.argv[1:])
    seen = set().union(*(operations(record) for _, _, record in files(probe)))
    if seen != set(OPERATIONS):
        sys.exit(f"the index of this compiler names things otherwise: it does not show {', '.join(set(OPERATIONS) - seen)}")
    sources = {}
    for path in pathlib.Path("Sources").rglob("*.swift"):
        sources[path.parts[1], path.stem] = path
    expected = {key for key in sources if key[0] not in EXEMPT}
    found, failed = set(), False
    for module, name, record in files(index):
        # The index keeps files that have been moved or removed.
        if (module, name) not in expected:
            continue
        found.add((module, name))
        for operation in sorted(operations(record)):
            print(f"{sources[module, name]}: {operation} can trap")
            failed = True
    for key in sorted(expected - found):
        print(f"{sources[key]}: the index does not know this file")
        failed = True
    return failed


sys.exit(main())
