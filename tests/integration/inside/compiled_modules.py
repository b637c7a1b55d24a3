"""Runs in the image: compares each .pyc with its source, and prints how many there are, which are stale or broken, and
which sources that compile have none."""

import importlib.util
import json
import marshal
import os
import struct
import sys
import warnings


def main():
    warnings.simplefilter("ignore")
    compiled, stale, without = 0, [], []
    series = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for root in ("/usr/lib/python3", f"/usr/lib/{series}", f"/usr/local/lib/{series}/dist-packages"):
        for folder, _, names in os.walk(root):
            for name in names:
                source = os.path.join(folder, name)
                if not name.endswith(".py") or not os.path.isfile(source):
                    continue
                try:
                    with open(importlib.util.cache_from_source(source), "rb") as file:
                        content = file.read()
                except FileNotFoundError:
                    if compiles(source):
                        without.append(source)
                    continue
                compiled += 1
                if not fits(content, source):
                    stale.append(source)
    print(json.dumps([compiled, stale, without]))


def compiles(source):
    with open(source, "rb") as file:
        try:
            compile(file.read(), source, "exec", 0, True, 0)
        except Exception:
            return False
    return True


def fits(content, source):
    status = os.stat(source)
    stamp = struct.pack("<3I", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    if content[:16] != importlib.util.MAGIC_NUMBER + stamp:
        return False
    try:
        return marshal.loads(content[16:]).co_filename == source
    except Exception:
        return False


main()
