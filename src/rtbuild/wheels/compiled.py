"""Read archives of compiled modules, as `rtbuild/inside/compile_wheels.py` writes them.

| part | content |
|---|---|
| magic | `rtbuild compiled 1` and a newline |
| length | bytes of the index, unsigned 64 bits, little-endian |
| index | JSON: a list of `[path of the source file, bytes of its compiled form]` |
| modules | the compiled modules, in the order of the index |
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from rtbuild.documents import parse_json
from rtbuild.errors import BuildError

_MAGIC = b"rtbuild compiled 1\n"
_LENGTH = struct.Struct("<Q")


class CompiledModules(Mapping[str, bytes]):
    """The compiled modules of one wheel, by the absolute path of the source file in the target.

    Readable only inside `open_compiled`.
    """

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
    """Open the modules in `archives`, which together hold one compiled wheel.

    Raises:
        BuildError: if an archive is damaged.
    """
    places: dict[str, tuple[int, int, int]] = {}
    with ExitStack() as stack:
        for archive in archives:
            stream = stack.enter_context(archive.open("rb"))
            try:
                places.update(_index(stream))
            except (ValueError, struct.error, KeyError, TypeError) as error:
                raise BuildError(f"{archive.name}: not an archive of compiled modules", details=str(error)) from error
        yield CompiledModules(places)


def _index(stream: BinaryIO) -> Iterator[tuple[str, tuple[int, int, int]]]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not start with the expected bytes")
    (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
    if length > os.fstat(stream.fileno()).st_size:
        raise ValueError(f"its index has {length} bytes")
    rows = parse_json(stream.read(length))
    position = stream.tell()
    for path, size in rows:
        yield path, (stream.fileno(), position, size)
        position += size
    length = os.fstat(stream.fileno()).st_size
    if position != length:
        raise ValueError(f"it has {length} bytes instead of {position}")
