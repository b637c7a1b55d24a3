"""Runs in the image: whether Python loads the compiled modules on its path. Prints what is wrong, nothing if all is well."""

import importlib.util
import marshal
import os
import sys

SHOWN = 10


def main():
    found = 0
    wrong = []
    for root in sys.path:
        for folder, _, names in os.walk(root):
            for name in names:
                if name.endswith(".%s.pyc" % sys.implementation.cache_tag):
                    found += 1
                    path = os.path.join(folder, name)
                    problem = trouble(path)
                    if problem:
                        wrong.append("%s: %s" % (path, problem))
    if not found:
        wrong.append("Python %s.%s finds no compiled module" % sys.version_info[:2])
    for line in sorted(wrong)[:SHOWN]:
        print(line)
    if len(wrong) > SHOWN:
        print("... and %d more" % (len(wrong) - SHOWN))


def trouble(path):
    """Say why importing the module would not use its compiled file `path`, None if it would."""
    with open(path, "rb") as file:
        content = file.read()
    if content[:4] != importlib.util.MAGIC_NUMBER:
        return "made by another Python"
    # PEP 552: no flag means that time and size of the source count, flag 2 that its hash does.
    flags = int.from_bytes(content[4:8], "little")
    if flags != 0b01:
        try:
            source = os.stat(importlib.util.source_from_cache(path))
        except FileNotFoundError:
            return "its source is missing"
        if not flags and content[8:16] != b"".join(
            (number & 0xFFFFFFFF).to_bytes(4, "little") for number in (int(source.st_mtime), source.st_size)
        ):
            return "its source has another time or size"
    try:
        code = marshal.loads(content[16:])
    except Exception as error:
        return "cannot be loaded: %s" % error
    return None if hasattr(code, "co_code") else "is no module"


main()
