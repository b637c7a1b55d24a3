"""What the compile script leaves behind: archives of compiled modules, in the form that it writes (see
scripts/compile_wheels.py)."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from rtbuild.errors import BuildError

_MAGIC = b"rtbuild compiled 1\n"
_LENGTH = struct.Struct("<Q")


class CompiledModules(Mapping[str, bytes]):
    """Compiled modules of one wheel, by the source file's absolute path in the target. Read while `open_compiled`
    lasts."""

    def __init__(self, places: dict[str, tuple[int, int, int]]) -> None:
        self._places = places

    def __getitem__(self, path: str) -> bytes:
        descriptor, start, size = self._places[path]
        return os.pread(descriptor, size, start)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@contextmanager
def open_compiled(archives: Sequence[Path]) -> Iterator[CompiledModules]:
    """The modules in `archives`, the parts that one wheel was compiled in. Raises `BuildError` for a damaged one."""
    places: dict[str, tuple[int, int, int]] = {}
    with ExitStack() as stack:
        for archive in archives:
            stream = stack.enter_context(archive.open("rb"))
            try:
                places.update(_index(stream))
            except (ValueError, struct.error, KeyError, TypeError) as error:
                raise BuildError(f"{archive.name}: not what the compile script writes", details=str(error)) from error
        yield CompiledModules(places)


def _index(stream: BinaryIO) -> Iterator[tuple[str, tuple[int, int, int]]]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it begins with other bytes")
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    rows = json.loads(stream.read(length))
    position = stream.tell()
    for path, size in rows:
        yield path, (stream.fileno(), position, size)
        position += size
    found = os.fstat(stream.fileno()).st_size
    if position != found:
        raise ValueError(f"it has {found} bytes instead of {position}")
