"""Unpacking .debs without dpkg (deb(5): an ar archive of debian-binary, control.tar and data.tar)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from rtbuild.errors import IntegrityError

_MAGIC = b"!<arch>\n"
_HEADER = 60


def unpack_deb(deb: Path, root: Path) -> None:
    """Unpack the files of `deb` below `root`, owned by the caller's user, without running any of its scripts.

    Raises `IntegrityError` where the file is no .deb or holds a path outside of its root, `OSError` where it cannot be
    written.
    """
    try:
        with deb.open("rb") as stream:
            name, size = _find_data(stream)
            member = _Window(stream, size)
            with _opener(name)(cast(IO[bytes], member)) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
                tar.extractall(root, filter="tar")
    except (tarfile.TarError, EOFError, ValueError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise IntegrityError(f"{deb.name} is not a Debian package that can be unpacked", details=str(error)) from error


def _find_data(stream: BinaryIO) -> tuple[str, int]:
    """Go to the start of the data member; returns its name and size in bytes."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not start as an ar archive")
    while header := stream.read(_HEADER):
        if len(header) < _HEADER or header[58:] != b"`\n":
            raise ValueError("a member's header is damaged")
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        size = int(header[48:58])
        if name.startswith("data.tar"):
            return name, size
        stream.seek(size + size % 2, 1)
    raise ValueError("it has no data.tar")


def _opener(name: str) -> Callable[[IO[bytes]], IO[bytes]]:
    match name.removeprefix("data.tar"):
        case "":
            return lambda stream: stream
        case ".gz":
            return lambda stream: cast(IO[bytes], gzip.GzipFile(fileobj=stream))
        case ".xz" | ".lzma":
            return lambda stream: cast(IO[bytes], lzma.LZMAFile(stream))
        case ".bz2":
            return lambda stream: cast(IO[bytes], bz2.BZ2File(stream))
        case ".zst":
            return lambda stream: cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(stream))
        case other:
            raise ValueError(f"its data are compressed in an unknown way ({other})")


class _Window:
    """The next `size` bytes of a stream as a file of their own."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        content = self._stream.read(wanted)
        if len(content) < wanted:
            raise EOFError("it ends too early")
        self._left -= len(content)
        return content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False

    def close(self) -> None: ...

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None: ...
