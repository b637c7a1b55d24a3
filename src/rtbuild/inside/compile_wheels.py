"""Byte-compile modules straight out of wheels; runs in a root with the target's Python, on its standard library alone.

    PYTHONHASHSEED=0 python3.9 -s -S -B compile_wheels.py TASKS WHEELS OUT JOBS

Each file in the folder TASKS is one task, JSON: {"wheel": <name in WHEELS>, "modules": [[<installed path>, <offset in
the wheel>, <stored size>, <deflated: 0 or 1>], ...]}. For each comes one file of the same name in OUT: a magic line,
the length of the index (64 bits, little endian), the index (JSON, [[<installed path>, <size>], ...]) and then the .pyc
files one after another. A module that does not compile is left out, as pip leaves it. JOBS 0 means all processors.

The bytes of a .pyc depend on the interpreter that makes it: marshal marks an object for later reference if somebody
else holds it too, an interned name for instance. So each task gets a process of its own, forked from one parent that
has read nothing.
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
# PEP 552: based on a hash that is never checked: no import looks at times or sources.
UNCHECKED_HASH = struct.pack("<I", 0b01)


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
    with open(os.path.join(wheels, work["wheel"]), "rb") as wheel:
        for path, offset, size, deflated in work["modules"]:
            wheel.seek(offset)
            source = wheel.read(size)
            if deflated:
                source = zlib.decompress(source, -zlib.MAX_WBITS)
            pyc = compile_module(source, path)
            if pyc is not None:
                index.append([path, len(pyc)])
                compiled.append(pyc)
    header = json.dumps(index).encode()
    with open(out, "wb") as stream:
        stream.write(MAGIC)
        stream.write(struct.pack("<Q", len(header)))
        stream.write(header)
        stream.writelines(compiled)


def compile_module(source: bytes, path: str) -> bytes | None:
    """The .pyc of `source`, None where it does not compile (templates, modules for Python 2)."""
    try:
        code = compile(source, path, "exec", 0, True, 0)
    except Exception:
        return None
    if has_unstable_set(code):
        content = Writer().dump(code)
    else:
        content = marshal.dumps(code)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + content


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


class Writer:
    """marshal's format (CPython, Python/marshal.c) in its simplest form: no references, no interned marks (loading
    interns what a code object must have interned), sets in the order of their items' bytes. Slow; few modules need it.
    """

    def dump(self, value: object) -> bytes:
        if value is None:
            return b"N"
        if value is Ellipsis:
            return b"."
        if isinstance(value, bool):
            return b"T" if value else b"F"
        if isinstance(value, int):
            return self.integer(value)
        if isinstance(value, float):
            return b"g" + struct.pack("<d", value)
        if isinstance(value, complex):
            return b"y" + struct.pack("<dd", value.real, value.imag)
        if isinstance(value, bytes):
            return b"s" + struct.pack("<i", len(value)) + value
        if isinstance(value, str):
            encoded = value.encode("utf-8", "surrogatepass")
            return b"u" + struct.pack("<i", len(encoded)) + encoded
        if isinstance(value, tuple):
            return b"(" + struct.pack("<i", len(value)) + b"".join(map(self.dump, value))
        if isinstance(value, frozenset):
            return b">" + struct.pack("<i", len(value)) + b"".join(sorted(map(self.dump, value)))
        if isinstance(value, CodeType):
            return self.code(value)
        raise ValueError(f"no constant of a code object: {value!r}")

    def integer(self, value: int) -> bytes:
        if -(1 << 31) <= value < 1 << 31:
            return b"i" + struct.pack("<i", value)
        digits = []
        rest = abs(value)
        while rest:
            digits.append(struct.pack("<H", rest & 0x7FFF))
            rest >>= 15
        return b"l" + struct.pack("<i", len(digits) if value > 0 else -len(digits)) + b"".join(digits)

    def code(self, code: CodeType) -> bytes:
        numbers = (
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_nlocals,
            code.co_stacksize,
            code.co_flags,
        )
        return b"".join(
            (
                b"c",
                struct.pack("<6i", *numbers),
                self.dump(code.co_code),
                self.dump(code.co_consts),
                self.dump(code.co_names),
                self.dump(code.co_varnames),
                self.dump(code.co_freevars),
                self.dump(code.co_cellvars),
                self.dump(code.co_filename),
                self.dump(code.co_name),
                struct.pack("<i", code.co_firstlineno),
                self.dump(code.co_lnotab),
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
