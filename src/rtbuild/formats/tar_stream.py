"""Read a tar that another program wrote as a stream, with limits that the standard library does not have.

Unlike `rtbuild.formats.tar`, which reads layers and packages, this reads whatever `tarfile` does: sdists of twenty
years. `tarfile` reads the headers of a member into memory whatever size they say, and remembers every member, so a few
compressed MB could take all memory.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO

from rtbuild.formats.frames import reader_of
from rtbuild.formats.streams import MAGIC_SIZE, decompressed, format_of

_LARGEST_HEADERS = 1 << 20
"""Bytes of the headers of one member: long names and PAX records."""
_MOST_MEMBERS = 200_000
_PIECE = 1 << 18

Member = tuple[str, IO[bytes] | None]
"""The path of a member and, if it is a regular file, its content, to be read before the next member is asked for."""


def read_tar(content: BinaryIO) -> Iterator[Member]:
    """Yield the members of a tar, compressed or not, which is open at its start.

    Raises:
        tarfile.TarError: if it is malformed.
        ValueError: if the compressed data is malformed, headers are too large, files are sparse, or too many.
    """
    name = format_of(content.read(MAGIC_SIZE))
    content.seek(0)
    plain = reader_of(decompressed(iter(lambda: content.read(_PIECE), b""), name)) if name else content
    metered = _Metered(plain)
    # As a stream, so that no size in a header can lead it backwards (CVE-2025-8194).
    with tarfile.open(fileobj=metered, mode="r|") as tar:
        for count, member in enumerate(iter(tar.next, None), start=1):
            if count > _MOST_MEMBERS:
                raise ValueError(f"it has more than {_MOST_MEMBERS} files")
            if member.issparse():
                raise ValueError(f"{member.name} is a sparse file")
            # A link may say that it has a size, but no data follows it.
            metered.left = _LARGEST_HEADERS + tar.offset - member.offset_data
            yield member.name, tar.extractfile(member) if member.isfile() else None


class _Metered(io.RawIOBase):
    """A stream of which only `left` bytes can be read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.left = _LARGEST_HEADERS

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise ValueError(f"the headers of a file have more than {_LARGEST_HEADERS} bytes")
        return piece
