"""Read the metadata in a wheel, from the end of the file alone if its host serves byte ranges."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO

from rtbuild.errors import ResolutionError

_TAIL = 64 << 10
"""Bytes at the end of a wheel that hold its central directory and, as the format recommends, its dist-info folder."""

_LARGEST = 16 << 20
"""Bytes of METADATA."""
_LARGEST_PART = 64 << 20
"""Bytes to fetch at once; the central directory of a wheel with 100,000 files has 10 MB."""

BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What reading a damaged archive raises; `RuntimeError` comes from encryption, compressions and deep nesting."""


class PartsRefused(Exception):
    """The host of a file does not serve byte ranges of it."""


def wheel_metadata(filename: str, wheel: IO[bytes]) -> bytes:
    """Return the METADATA file of a wheel.

    Raises:
        ResolutionError: if it is not a readable wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            # A wheel has one dist-info folder, but not every tool spells its name as in the file name.
            name = next(
                name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            )
            with archive.open(name) as member:
                content = member.read(_LARGEST + 1)  # of a bomb, no more than this is decompressed
            if len(content) > _LARGEST:
                raise ValueError(f"its METADATA has more than {_LARGEST} bytes")
            return content
    except (StopIteration, *BROKEN) as error:
        raise ResolutionError(f"{filename}: not a readable wheel", details=str(error)) from error


class PartialFile(io.RawIOBase, IO[bytes]):
    """A remote file of `size` bytes that is read in parts, its end first.

    `part` returns the bytes of an (offset, length), or None if the host does not serve ranges, which raises
    `PartsRefused`.
    """

    def __init__(self, part: Callable[[int, int], bytes | None], size: int) -> None:
        super().__init__()
        self._part = part
        self._size = size
        self._position = 0
        self._start = max(0, size - _TAIL)
        self._held = self._fetch(self._start, size - self._start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._position + size, self._size)
        if self._position >= end:
            return b""
        if self._position < self._start:
            # Before what is held: read everything in between too, because the next reads will need it.
            self._held = self._fetch(self._position, self._start - self._position) + self._held
            self._start = self._position
        content = self._held[self._position - self._start : end - self._start]
        self._position = end
        return content

    def _fetch(self, offset: int, length: int) -> bytes:
        if length > _LARGEST_PART:
            raise ValueError(f"its central directory has {length} bytes")
        content = self._part(offset, length)
        if content is None or len(content) != length:
            raise PartsRefused
        return content
