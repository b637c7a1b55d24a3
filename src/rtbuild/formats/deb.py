"""Read Debian packages without dpkg: a .deb is an ar archive of debian-binary, control.tar and data.tar (deb(5)).

Anything else raises `ValueError` with a reason that continues a sentence about the package ("it has no data.tar").
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import zstandard

_MAGIC = b"!<arch>\n"
_HEADER = 60
_PIECE = 256 << 10

HEAD = len(_MAGIC) + _HEADER
"""The number of bytes at the start of a .deb that `build_time` needs."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    ".bz2": bz2.BZ2Decompressor,
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE),
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A member of the ar archive; `time` in seconds since 1970, `size` in bytes."""

    name: str
    time: int
    size: int


def build_time(head: bytes) -> int:
    """Return when the package that begins with `head` (`HEAD` bytes) was built: the time of its first member.

    Returns:
        Seconds since 1970.

    Raises:
        ValueError: if this is not the start of a Debian package.
    """
    return next(_members(io.BytesIO(head))).time


def control_text(deb: BinaryIO) -> str:
    """Return the control file of the package; `deb` is at its start.

    Raises:
        ValueError: if this is not a Debian package with a control file.
    """
    content = b"".join(_content(deb, "control.tar"))
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for member in tar:
                if member.isfile() and member.name.removeprefix("./") == "control":
                    file = tar.extractfile(member)
                    assert file is not None  # true of every regular file
                    return file.read().decode()
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ValueError(f"its control.tar cannot be read: {error}") from None
    raise ValueError("its control.tar holds no control file")


def data_tar(deb: BinaryIO) -> Iterator[bytes]:
    """Return the tar of the package's files, uncompressed, in pieces; `deb` is at its start.

    Raises:
        ValueError: if this is not a Debian package with files, or, while the pieces are read, if they are damaged.
    """
    return _content(deb, "data.tar")


def _content(deb: BinaryIO, stem: str) -> Iterator[bytes]:
    """Return the content of the member `stem`, decompressed."""
    for member in _members(deb):
        if member.name == stem:
            return _stored(deb, member)
        if member.name.startswith(f"{stem}."):
            suffix = member.name.removeprefix(stem)
            if suffix not in _DECODERS:
                raise ValueError(f"its {stem} has an unknown compression, {suffix!r}")
            return _decompressed(deb, member, _DECODERS[suffix])
    raise ValueError(f"it has no {stem}")


def _members(deb: BinaryIO) -> Iterator[_Member]:
    """Iterate over the members; `deb` is at the content of the current one."""
    position = len(_MAGIC)
    if deb.read(position) != _MAGIC:
        raise ValueError("it does not start like an ar archive")
    while (header := deb.read(_HEADER)) or position == len(_MAGIC):
        # int() alone would accept signs, spaces and underscores.
        time, size = header[16:28].rstrip(), header[48:58].rstrip()
        if len(header) < _HEADER or header[58:] != b"`\n" or not (time.isdigit() and size.isdigit()):
            raise ValueError("the header of a member is damaged")
        name = header[:16].decode("ascii", "replace").rstrip().removesuffix("/")
        if position == len(_MAGIC) and name != "debian-binary":
            raise ValueError("it does not start like a Debian package")
        yield _Member(name=name, time=int(time), size=int(size))
        position += _HEADER + int(size) + int(size) % 2
        deb.seek(position)


def _stored(deb: BinaryIO, member: _Member) -> Iterator[bytes]:
    left = member.size
    while left:
        piece = deb.read(min(_PIECE, left))
        if not piece:
            raise ValueError(f"its {member.name} is truncated")
        left -= len(piece)
        yield piece


def _decompressed(deb: BinaryIO, member: _Member, make: Callable[[], _Decoder]) -> Iterator[bytes]:
    decoder = make()
    for piece in _stored(deb, member):
        rest = piece
        while rest:
            if decoder.eof:  # each of these formats may be several streams in a row
                decoder = make()
            try:
                plain = decoder.decompress(rest)
            except (lzma.LZMAError, zlib.error, zstandard.ZstdError, OSError, EOFError) as error:
                raise ValueError(f"its {member.name} cannot be decompressed: {error}") from None
            rest = decoder.unused_data
            yield plain
    if not decoder.eof:
        raise ValueError(f"its {member.name} is truncated")
