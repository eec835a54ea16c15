"""Kills leaktrace, or leaktrace and its guardian, at random moments while it traces a process whose threads allocate and
which forks, and says how long the process's threads were held up and whether breakpoints stayed in its code.
usage: kill-storm [SECONDS] [--forks PER_SECOND] [--threads N] [--kills N]"""
import argparse
import os
import random
import signal
import subprocess
import time

from storm import LEAKTRACE, Target, changed_code, guardians, leaked_uprobes

LONGEST_STALL = 0.1
SECONDS_TO_CLEAN_UP = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=300)
    parser.add_argument("--forks", type=float, default=40)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--kills", type=int, default=1_000_000)
    options = parser.parse_args()
    target = Target(options.threads, "fork", int(options.forks), 0)
    end = time.monotonic() + options.seconds
    kills = stalled = left = 0
    worst = worst_before = 0.0
    leaked = leaked_uprobes()
    target.take_longest_stall()
    time.sleep(2)
    print(f"without leaktrace the longest stall in 2 s is {target.take_longest_stall() * 1000:.0f} ms", flush=True)
    while time.monotonic() < end and kills < options.kills:
        tracer = subprocess.Popen(
            [LEAKTRACE, "trace", "-p", str(target.pid), "--format", "json", "0.5"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        target.take_longest_stall()
        time.sleep(random.uniform(0, 1.5) ** 2)
        helpers = guardians(tracer.pid)
        before = target.take_longest_stall()
        victims = [tracer.pid] + (helpers if random.random() < 0.5 else [])
        random.shuffle(victims)
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
        tracer.wait()
        time.sleep(SECONDS_TO_CLEAN_UP)
        stall = target.take_longest_stall()
        places = changed_code(target.pid)
        kills += 1
        worst, worst_before = max(worst, stall), max(worst_before, before)
        if stall > LONGEST_STALL:
            stalled += 1
            print(f"kill {kills}: an allocation took {stall * 1000:.0f} ms", flush=True)
        if places:
            left += 1
            print(f"kill {kills}: changed code {places}", flush=True)
        if target.process.poll() is not None:
            print(f"kill {kills}: the target ended with {target.process.returncode}")
            break
    print(
        f"{kills} kills, {stalled} stalled over {LONGEST_STALL * 1000:.0f} ms (worst {worst * 1000:.0f} ms, before a kill "
        f"{worst_before * 1000:.0f} ms), {left} left changed code after {SECONDS_TO_CLEAN_UP} s, "
        f"{leaked_uprobes() - leaked} lines of leaking uprobes in the kernel log")
    died = target.process.poll() is not None
    target.end()
    raise SystemExit(1 if stalled or left or died else 0)


main()
