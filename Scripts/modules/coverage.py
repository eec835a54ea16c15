"""Lines that tests ran, by module, from llvm-cov's JSON: coverage.py FILE ROOT."""

import json
import pathlib
import sys


def main():
    report, root = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    modules = {}
    for entry in json.load(open(report, encoding="utf-8"))["data"][0]["files"]:
        try:
            parts = pathlib.Path(entry["filename"]).resolve().relative_to(root).parts
        except ValueError:
            continue
        if parts[0] != "Sources":
            continue
        lines = entry["summary"]["lines"]
        covered, count = modules.get(parts[1], (0, 0))
        modules[parts[1]] = (covered + lines["covered"], count + lines["count"])
    if not modules:
        sys.exit("coverage: no file of Sources is in " + report)
    width = max(len(name) for name in modules)
    print(f"{'module':<{width}}  {'lines':>7}  {'covered':>7}  {'%':>5}")
    for name, (covered, count) in sorted(modules.items(), key=lambda item: item[1][0] / max(1, item[1][1])):
        print(f"{name:<{width}}  {count:>7}  {covered:>7}  {100 * covered / max(1, count):>5.1f}")
    covered = sum(item[0] for item in modules.values())
    count = sum(item[1] for item in modules.values())
    print(f"{'total':<{width}}  {count:>7}  {covered:>7}  {100 * covered / count:>5.1f}")


main()
