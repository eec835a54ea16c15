"""Traces processes that start children as fast as they can, and many processes at once, and says what that does to their
rate and how soon leaktrace ends when it is told to.
usage: fork-storm [SECONDS] [--processes N]"""
import argparse
import signal
import subprocess
import sys
import time

from storm import LEAKTRACE, Target, changed_code

SECONDS_TO_END = 2


def trace(arguments):
    return subprocess.Popen(
        [LEAKTRACE, "trace", "--format", "json", "1"] + arguments,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def end(tracer):
    """Interrupts it; returns how many seconds it took, its status and what it said."""
    begin = time.monotonic()
    tracer.send_signal(signal.SIGINT)
    try:
        _, errors = tracer.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        tracer.kill()
        _, errors = tracer.communicate()
        return 60.0, tracer.returncode, errors.strip()
    return time.monotonic() - begin, tracer.returncode, errors.strip()


def storm(mode, rate, lifetime, seconds):
    target = Target(0, mode, rate, lifetime)
    alone = target.rate(3)
    tracer = trace(["-p", str(target.pid)])
    time.sleep(3)
    traced = target.rate(seconds)
    took, status, errors = end(tracer)
    time.sleep(2)
    places = changed_code(target.pid)
    print(
        f"{mode} {rate or 'unlimited'}/s, children of {lifetime} ms: {alone:.0f}/s alone, {traced:.0f}/s traced "
        f"({100 * traced / max(alone, 1e-9):.0f} %); ended in {took:.2f} s with {status} {errors}"
        + (f"; changed code {places}" if places else ""), flush=True)
    target.end()
    return status == 130 and took <= SECONDS_TO_END and not places


def many(count):
    sleepers = [subprocess.Popen(["sleep", "1000"]) for _ in range(count)]
    time.sleep(1)
    begin = time.monotonic()
    tracer = trace(["--comm", "sleep"])
    time.sleep(20)
    took, status, errors = end(tracer)
    clean = time.monotonic()
    # Until the first of them has its own code back.
    while changed_code(sleepers[0].pid) and time.monotonic() - clean < 300:
        time.sleep(0.1)
    print(
        f"{count} processes: ended in {took:.2f} s with {status} {errors}, their code was as before "
        f"{time.monotonic() - clean:.1f} s later, {time.monotonic() - begin:.0f} s in all", flush=True)
    for sleeper in sleepers:
        sleeper.kill()
    for sleeper in sleepers:
        sleeper.wait()
    return status == 130 and took <= SECONDS_TO_END


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=120)
    parser.add_argument("--processes", type=int, default=2000)
    options = parser.parse_args()
    seconds = max(5, options.seconds / 8)
    good = True
    for mode, rate, lifetime in [
        ("fork", 0, 0), ("fork", 40, 0), ("fork", 100, 1000), ("vfork", 250, 0), ("vfork", 0, 0), ("exec", 0, 0)]:
        good = storm(mode, rate, lifetime, seconds) and good
    good = many(options.processes) and good
    sys.exit(0 if good else 1)


main()
