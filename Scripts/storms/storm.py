"""What the storms share: their victim, what they measure of it, and whether its code is as in its files."""
import mmap
import os
import re
import struct
import subprocess
import tempfile
import time

LEAKTRACE = os.environ.get("LEAKTRACE_PROGRAM", ".build/release/leaktrace")


class Target:
    """A running storm_target."""

    def __init__(self, threads, mode, rate, lifetime):
        self.directory = tempfile.TemporaryDirectory()
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "storm_target.c")
        program = os.path.join(self.directory.name, "target")
        subprocess.run(["gcc", "-O1", "-fno-builtin", "-pthread", source, "-o", program], check=True)
        shared = os.path.join(self.directory.name, "shared")
        arguments = [program, shared, str(threads), mode, str(rate), str(lifetime)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        while not (os.path.exists(shared) and os.path.getsize(shared) >= 4096):
            time.sleep(0.01)
        with open(shared, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)
        time.sleep(0.2)

    def take_longest_stall(self):
        """Seconds, since the last call."""
        nanoseconds = struct.unpack_from("Q", self.memory, 0)[0]
        struct.pack_into("Q", self.memory, 0, 0)
        return nanoseconds / 1e9

    @property
    def started(self):
        return struct.unpack_from("Q", self.memory, 8)[0]

    def rate(self, seconds):
        """Children started a second."""
        begin, clock = self.started, time.monotonic()
        time.sleep(seconds)
        return (self.started - begin) / (time.monotonic() - clock)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()


def changed_code(pid):
    """Places of a process's executable mappings whose bytes are not those of the file."""
    changed = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if "x" not in fields[1] or len(fields) < 6 or not os.path.isfile(fields[5]):
                continue
            begin, end = (int(word, 16) for word in fields[0].split("-"))
            with open(fields[5], "rb") as file:
                file.seek(int(fields[2], 16))
                expected = file.read(end - begin)
            memory.seek(begin)
            found = memory.read(len(expected))
            if found != expected:
                offsets = [i for i in range(len(expected)) if found[i] != expected[i]]
                changed.append((fields[5], hex(offsets[0]), len(offsets)))
    return changed


def guardians(pid):
    """The helpers of a leaktrace."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                    text = file.read()
            except OSError:
                continue
            comm, rest = re.match(r"\d+ \((.*)\) (.*)", text, re.S).groups()
            if comm == "lt-guardian" and int(rest.split()[1]) == pid:
                found.append(int(entry))
    return found


def leaked_uprobes():
    """How often the kernel has said so."""
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    return log.count("leaking uprobe")
