"""The modules of the package and how they depend on each other, from `swift package dump-package` on standard input.

  graph.py imports    prints each import that Package.swift does not declare, and each dependency that no file imports
  graph.py page       prints docs/modules.md
"""

import json
import pathlib
import re
import sys

# What the compiler imports into every file by itself, as Package.swift tells it.
IMPLICIT = {"SaturatingIntegers"}

IMPORT = re.compile(r"^\s*(?:@testable |@_exported |package |internal )*import (?:struct |class |enum |func )?(\w+)")
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"](\w+)\.h[>"]')


def dependencies(target):
    """Names of the modules that a target declares, and of the products of other packages."""
    names = set()
    for dependency in target["dependencies"]:
        kind, value = next(iter(dependency.items()))
        names.add(value[0])
    return names


def directory(target):
    if target.get("path"):
        return pathlib.Path(target["path"])
    return pathlib.Path("Tests" if target["type"] == "test" else "Sources") / target["name"]


def imports(target):
    """What the files of a target import, by module: the first file that does."""
    found = {}
    for path in sorted(directory(target).rglob("*")):
        pattern = IMPORT if path.suffix == ".swift" else INCLUDE if path.suffix in (".c", ".h") else None
        if not pattern:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            match = pattern.match(line)
            if match:
                found.setdefault(match.group(1), path)
    return found


def check_imports(targets):
    names = {target["name"] for target in targets}
    # Public headers of a C target: whoever includes one depends on it.
    headers = {}
    for target in targets:
        for header in (directory(target) / "include").glob("*.h"):
            headers[header.stem] = target["name"]
    products = set().union(*(dependencies(target) for target in targets))
    failed = False
    for target in targets:
        declared = dependencies(target)
        used = set()
        is_swift = False
        for name, path in imports(target).items():
            is_swift = is_swift or path.suffix == ".swift"
            module = name if path.suffix == ".swift" else headers.get(name, name)
            used.add(module)
            if module in names | products and module != target["name"] and module not in declared:
                print(f"{path}: imports {module}, which Package.swift does not declare for {target['name']}")
                failed = True
        # Programs that tests run are dependencies without an import, and so are archives that C sources are linked with.
        for name in sorted(declared - used - IMPLICIT) if is_swift else []:
            if not any(other["name"] == name and other["type"] == "executable" for other in targets):
                print(f"Package.swift: {target['name']} declares {name}, which none of its files imports")
                failed = True
    return failed


def draw(targets):
    """The modules of the product in rows: each rests upon some of the row below, and on none above."""
    modules = {
        target["name"]: target for target in targets
        if directory(target).parts[0] == "Sources" and target["type"] != "test"
    }
    below = {name: {other for other in dependencies(target) if other in modules} for name, target in modules.items()}
    heights = {}

    def height(name):
        if name not in heights:
            heights[name] = 1 + max((height(other) for other in below[name]), default=0)
        return heights[name]

    reach = {}

    def reachable(name):
        if name not in reach:
            reach[name] = set().union(below[name], *(reachable(other) for other in below[name]))
        return reach[name]

    def is_shim(name):
        return len(name) > 1 and name[0] == "C" and name[1].isupper()

    swift = sorted((name for name in modules if not is_shim(name)), key=lambda name: (-height(name), name))
    shims = sorted(name for name in modules if is_shim(name))
    print("# Modules\n")
    print("<!-- Written by Scripts/draw-modules from Package.swift: do not edit. -->\n")
    print("An arrow points to what a module imports; one that follows from two others is left out. Modules of C, which hold")
    print("what Swift cannot import, are named at the module that imports them. [Architecture](architecture.md) says what each")
    print("module holds.\n")
    print("```mermaid")
    print("flowchart TD")
    for name in swift:
        own = sorted(other for other in below[name] if is_shim(other))
        text = "<br/>".join([f"<b>{name}</b>"] + own)
        brackets = ('(["', '"])') if modules[name]["type"] == "executable" else ('["', '"]')
        print(f"  {name}{brackets[0]}{text}{brackets[1]}")
    for name in swift:
        direct = {other for other in below[name] if not is_shim(other)}
        implied = set().union(*(reachable(other) for other in direct))
        for other in sorted(direct - implied):
            print(f"  {name} --> {other}")
    print("```\n")
    print("| module | imports, those of C included |")
    print("|---|---|")
    for name in swift + shims:
        print(f"| `{name}` | {', '.join(f'`{other}`' for other in sorted(below[name]))} |".replace("|  |", "| |"))


def main():
    targets = json.load(sys.stdin)["targets"]
    if sys.argv[1:] == ["imports"]:
        sys.exit(1 if check_imports(targets) else 0)
    if sys.argv[1:] == ["page"]:
        draw(targets)
        return
    sys.exit(__doc__)


main()
