"""Byte-compile modules straight out of wheels; runs in a root with the target's Python, on its standard library alone.

    PYTHONHASHSEED=0 python3.9 -s -S -B compile_wheels.py TASKS WHEELS OUT JOBS

Each file in the folder TASKS is one task, JSON: {"wheel": <name in WHEELS>, "mtime": <that of the installed sources, in
seconds since 1970>, "modules": [[<installed path>, <offset in the wheel>, <stored size>, <deflated: 0 or 1>], ...]}.
For each comes one file of the same name in OUT: a magic line,
the length of the index (64 bits, little endian), the index (JSON, [[<installed path>, <size>], ...]) and then the .pyc
files one after another. A module that does not compile is left out, as pip leaves it. JOBS 0 means all processors.

The bytes of a .pyc depend on the interpreter that makes it: marshal marks an object for later reference if somebody
else holds it too, an interned name for instance. So each task gets a process of its own, forked from one parent that
has read nothing.

Each .pyc holds the modification time and the size of its source as the layer has them, both known before anything is
installed. So it is the same in every build, and an import that finds another time or size compiles the edited source.
Looking at them costs nothing: an import asks for both before it opens any .pyc.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import marshal
import os
import struct
import sys
import warnings
import zlib
from types import CodeType

MAGIC = b"rtbuild compiled 1\n"
# PEP 552: no flags, so the next two fields are the source's modification time and size.
BY_TIMESTAMP = 0


def main(tasks: str, wheels: str, out: str, jobs: int) -> None:
    if sys.flags.hash_randomization:
        sys.exit("PYTHONHASHSEED must be 0: the order of constant sets depends on it")
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(1000)
    # A collection costs more than the little that modules leave in cycles; frozen, it does not copy the parent's pages.
    gc.disable()
    gc.freeze()
    os.makedirs(out, exist_ok=True)
    jobs = jobs or len(os.sched_getaffinity(0))
    # The host numbers tasks by size, so the longest do not come last.
    waiting = sorted(os.listdir(tasks), reverse=True)
    running: dict[int, str] = {}
    failed: list[str] = []
    while waiting or running:
        while waiting and len(running) < jobs and not failed:
            task = waiting.pop()
            child = os.fork()
            if not child:
                run(os.path.join(tasks, task), wheels, os.path.join(out, task))
            running[child] = task
        if not running:
            break
        child, status = os.wait()
        task = running.pop(child)
        print("ended", task, flush=True)
        if status:
            failed.append(f"{task}: compiling ended with status {status}")
    if failed:
        sys.exit("\n".join(failed))


def run(task: str, wheels: str, out: str) -> None:
    """Do one task and end the process."""
    status = 1
    try:
        compile_task(task, wheels, out)
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{os.path.basename(task)}: {type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(status)


def compile_task(task: str, wheels: str, out: str) -> None:
    with open(task, encoding="utf-8") as stream:
        work = json.load(stream)
    index = []
    compiled = []
    mtime = work["mtime"]
    with open(os.path.join(wheels, work["wheel"]), "rb") as wheel:
        for path, offset, size, deflated in work["modules"]:
            wheel.seek(offset)
            source = wheel.read(size)
            if deflated:
                source = zlib.decompress(source, -zlib.MAX_WBITS)
            pyc = compile_module(source, path, mtime)
            if pyc is not None:
                index.append([path, len(pyc)])
                compiled.append(pyc)
    header = json.dumps(index).encode()
    with open(out, "wb") as stream:
        stream.write(MAGIC)
        stream.write(struct.pack("<Q", len(header)))
        stream.write(header)
        stream.writelines(compiled)


def compile_module(source: bytes, path: str, mtime: int) -> bytes | None:
    """The .pyc of `source`, None where it does not compile (templates, modules for Python 2)."""
    try:
        code = compile(source, path, "exec", 0, True, 0)
    except Exception:
        return None
    content = marshal.dumps(code)
    if has_unstable_set(code):
        content = stable(content, code)
    limit = 0xFFFFFFFF
    header = struct.pack("<3I", BY_TIMESTAMP, mtime & limit, len(source) & limit)
    return importlib.util.MAGIC_NUMBER + header + content


def has_unstable_set(code: CodeType) -> bool:
    """Whether a constant set's order depends on the addresses of None or Ellipsis, which architectures do not share."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            unstable = has_unstable_set(constant)
        else:
            unstable = isinstance(constant, frozenset) and any(map(hashed_by_address, constant))
        if unstable:
            return True
    return False


def hashed_by_address(item: object) -> bool:
    if isinstance(item, (tuple, frozenset)):
        return any(map(hashed_by_address, item))
    return item is None or item is Ellipsis


def stable(dumped: bytes, code: CodeType) -> bytes:
    """What marshal wrote for `code`, in a form that does not depend on addresses; loaded back before it is returned.

    What marshal itself writes needs no such trial, because the interpreter that reads it is the one that wrote it.
    """
    content = Rewriter(dumped).rewritten()
    if marshal.loads(content) != code:
        raise ValueError(f"{code.co_filename}: the rewritten bytecode is not what was compiled")
    return content


# What follows the type of an object in marshal's format (CPython, Python/marshal.c, the same in 3.9 to 3.13).
FIXED = {"N": 0, ".": 0, "T": 0, "F": 0, "i": 4, "g": 8, "y": 16}
TEXTS = {"a": False, "A": False, "z": True, "Z": True, "u": False, "t": False}
"""Whether the length has one byte, for each kind of string."""
COLLECTIONS = {"(": False, ")": True, ">": False}
# The fields of a code object: numbers ("i") and objects ("o"). 3.11 counts its variables by their names and has a table of exceptions.
CODE_FIELDS = "iiiiiooooooooioo" if sys.version_info >= (3, 11) else "iiiiiiooooooooio"


class Rewriter:
    """Reads what marshal wrote and writes it in its simplest form: no references, no interned marks (loading interns
    what a code object must have interned), sets in the order of their items' bytes. Slow; few modules need it.
    """

    def __init__(self, dumped: bytes) -> None:
        self.dumped = dumped
        self.position = 0
        self.seen: list[bytes] = []

    def rewritten(self) -> bytes:
        content = self.value()
        if self.position != len(self.dumped):
            raise ValueError(f"marshal wrote {len(self.dumped)} bytes, of which {self.position} are understood")
        return content

    def take(self, size: int) -> bytes:
        taken = self.dumped[self.position : self.position + size]
        self.position += size
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def length(self, short: bool) -> int:
        return self.take(1)[0] if short else self.number()

    def value(self) -> bytes:
        first = self.take(1)[0]
        kind = chr(first & 0x7F)
        if kind == "r":
            return self.seen[self.number()]
        if not first & 0x80:
            return self.simplest(kind)
        # marshal counts an object before those in it
        place = len(self.seen)
        self.seen.append(b"")
        self.seen[place] = self.simplest(kind)
        return self.seen[place]

    def simplest(self, kind: str) -> bytes:
        if kind in FIXED:
            return kind.encode() + self.take(FIXED[kind])
        if kind == "l":
            digits = self.take(4)
            return b"l" + digits + self.take(2 * abs(int.from_bytes(digits, "little", signed=True)))
        if kind == "s":
            size = self.number()
            return b"s" + struct.pack("<i", size) + self.take(size)
        if kind in TEXTS:
            # ASCII is the same in UTF-8
            text = self.take(self.length(TEXTS[kind]))
            return b"u" + struct.pack("<i", len(text)) + text
        if kind in COLLECTIONS:
            items = [self.value() for _ in range(self.length(COLLECTIONS[kind]))]
            if kind == ">":
                return b">" + struct.pack("<i", len(items)) + b"".join(sorted(items))
            return b"(" + struct.pack("<i", len(items)) + b"".join(items)
        if kind == "c":
            return b"c" + b"".join(self.take(4) if field == "i" else self.value() for field in CODE_FIELDS)
        raise ValueError(f"marshal wrote an object of the unknown type {kind!r}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
