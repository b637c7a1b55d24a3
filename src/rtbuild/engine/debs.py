"""Unpack .debs without dpkg."""

from __future__ import annotations

import tarfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from rtbuild.errors import IntegrityError
from rtbuild.formats.deb import data_tar


def unpack_deb(deb: Path, root: Path) -> None:
    """Unpack the files of `deb` into `root`, owned by the current user, without running any of its scripts.

    Raises:
        IntegrityError: if the file is not a .deb, or holds a path outside its root.
        OSError: if a file cannot be written.
    """
    try:
        with deb.open("rb") as stream:
            chunks = data_tar(stream)
            with tarfile.open(fileobj=cast(IO[bytes], _ChunkReader(chunks)), mode="r|") as tar:
                tar.extractall(root, filter="tar")
            # Read on after the end of the tar, to find out whether the member is complete
            deque(chunks, maxlen=0)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise IntegrityError(f"{deb.name}: cannot be unpacked as a Debian package: {error}") from error


class _ChunkReader:
    """Chunks of bytes as a file, as far as `tarfile` needs one."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and (chunk := next(self._chunks, None)) is not None:
            self._buffer += chunk
        content = bytes(self._buffer[:size])
        del self._buffer[:size]
        return content
