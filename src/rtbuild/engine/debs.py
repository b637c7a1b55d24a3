"""Unpacking .debs without dpkg."""

from __future__ import annotations

import tarfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from rtbuild.errors import IntegrityError
from rtbuild.formats.deb import data_tar


def unpack_deb(deb: Path, root: Path) -> None:
    """Unpack the files of `deb` below `root`, owned by the caller's user, without running any of its scripts.

    Raises `IntegrityError` where the file is no .deb or holds a path outside of its root, `OSError` where it cannot be
    written.
    """
    try:
        with deb.open("rb") as stream:
            pieces = data_tar(stream)
            with tarfile.open(fileobj=cast(IO[bytes], _Reader(pieces)), mode="r|") as tar:
                tar.extractall(root, filter="tar")
            # What follows the end of the tar: is the member whole?
            deque(pieces, maxlen=0)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise IntegrityError(f"{deb.name} is not a Debian package that can be unpacked: {error}") from error


class _Reader:
    """Pieces of bytes as a file, as far as `tarfile` needs one."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._held) < size and (piece := next(self._pieces, None)) is not None:
            self._held += piece
        content = bytes(self._held[:size])
        del self._held[:size]
        return content
