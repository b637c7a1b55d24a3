"""Run in the image: what of its Python is listed but not there, and what is imported although a recipe removes it.

Takes patterns of what is removed; answers with one JSON object.
"""

import ast
import fnmatch
import importlib.metadata
import json
import os
import re
import sys

LIBRARY = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/dist-packages"


def main() -> None:
    print(json.dumps({"missing": sorted(missing()), "imported": sorted(imported(sys.argv[1:]))}))


def missing():
    """Files that a RECORD lists and that are not there, or have another size."""
    for distribution in importlib.metadata.distributions(path=[LIBRARY]):
        for file in distribution.files or ():
            path = os.path.normpath(os.path.join(LIBRARY, str(file)))
            if not os.path.isfile(path) or (file.size is not None and os.path.getsize(path) != file.size):
                yield path


def imported(patterns):
    """`file:line: module` of each import of a module that is removed, by what is not."""
    for folder, _, names in os.walk(LIBRARY):
        for name in names:
            if not name.endswith(".py"):
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                source = file.read()
            # parsing everything takes minutes
            if not re.search(
                rb"import.*\b_?(tests?|benchmarks|samples)\b|\b_?(tests?|benchmarks|samples)\b.*import", source
            ):
                continue
            try:
                tree = ast.parse(source)
            except SyntaxError:
                continue  # made for another Python
            for module, line in modules(tree, os.path.relpath(folder, LIBRARY)):
                place = os.path.join(LIBRARY, *module.split("."))
                if any(
                    fnmatch.fnmatchcase(f"{place}{end}", form) for form in patterns for end in (".py", "/__init__.py")
                ):
                    yield f"{os.path.relpath(path, LIBRARY)}:{line}: {module}"


def modules(tree, package):
    """What the import statements of a module of `package` (a relative path) may mean, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            parts = [] if package == "." else package.split("/")
            start = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            yield module, node.lineno
            for alias in node.names:
                yield ".".join(filter(None, [module, alias.name])), node.lineno


if __name__ == "__main__":
    main()
