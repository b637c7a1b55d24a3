"""Artifacts in the store: complete files named by their sha256, and partial ones that a later run resumes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rtbuild.digest import Sha256
from rtbuild.errors import IntegrityError
from rtbuild.store.files import lock_file, store_errors

if TYPE_CHECKING:
    from rtbuild.lockfile.model import Artifact

_CHUNK = 1 << 20
_READ_ONLY = 0o444  # artifacts are hard-linked and mounted into builds: nobody may write through such a link
_POLL = 0.05


class Partial:
    """An artifact that is being written. Only its holder writes it, among all processes of this machine.

    Attributes:
        artifact: What is being written.
        size: How many bytes there are; those of an earlier attempt count.
    """

    def __init__(self, artifact: Artifact, descriptor: int, path: Path, target: Path) -> None:
        self.artifact = artifact
        self._descriptor = descriptor
        self._path = path
        self._target = target
        self._hasher = hashlib.sha256()
        self.size = 0
        self._resume()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`.

        Raises:
            IntegrityError: if that makes more bytes than the artifact has.
            StoreError: if they cannot be written, for example because the disk is full.
        """
        if self.size + len(chunk) > self.artifact.size:
            raise IntegrityError(f"{self.artifact.filename}: more than the {self.artifact.size} bytes in the lock")
        with store_errors(f"write {self._path}"):
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._hasher.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Drop every byte."""
        with store_errors(f"write {self._path}"):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hasher = hashlib.sha256()
        self.size = 0

    @property
    def complete(self) -> bool:
        """Whether every byte is there, right or wrong."""
        return self.size == self.artifact.size

    def commit(self) -> Path:
        """Make the artifact part of the store and return its path.

        Its bytes survive a power cut from then on; that its name does, `Store.sync_artifacts` makes sure for all at
        once.

        Raises:
            IntegrityError: if the bytes do not match the lock; wrong ones are dropped.
            StoreError: if the store cannot be written.
        """
        actual = self._hasher.hexdigest()
        if self.size != self.artifact.size:
            raise IntegrityError(f"{self.artifact.filename}: {self.size} bytes instead of {self.artifact.size}")
        if actual != self.artifact.sha256:
            self.restart()
            raise IntegrityError(
                f"{self.artifact.filename}: the file does not match the lock",
                details=f"sha256 {actual} instead of {self.artifact.sha256}",
            )
        with store_errors(f"write {self._target}"):
            os.fsync(self._descriptor)
            self._path.replace(self._target)
            os.fchmod(self._descriptor, _READ_ONLY)  # not before: a partial file left behind must be writable
        return self._target

    def _resume(self) -> None:
        """Hash the bytes of an earlier attempt."""
        with store_errors(f"read {self._path}"):
            if os.fstat(self._descriptor).st_size > self.artifact.size:
                self.restart()
            while chunk := os.read(self._descriptor, _CHUNK):
                self._hasher.update(chunk)
                self.size += len(chunk)


@contextmanager
def open_partial(
    artifact: Artifact, folder: Path, target: Path, *, present: Callable[[], bool], stop: Callable[[], bool]
) -> Iterator[Partial | None]:
    """Open the `Partial` of an artifact; None if another process or thread finished it.

    It waits for another writer of the same artifact, so that two fetches into one store share the work.

    Args:
        artifact: What to write.
        folder: The folder of partial files.
        target: Where the artifact goes once it is complete.
        present: Returns whether the artifact is there.
        stop: Returns whether to give up waiting; the result is then None.

    Raises:
        StoreError: if the store cannot be read or written.
    """
    path = folder / artifact.sha256
    with store_errors(f"write {path}"):
        while not stop() and not present():
            descriptor = lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is not None:
                break
            time.sleep(_POLL)
        else:
            descriptor = None
    if descriptor is None:
        yield None
        return
    try:
        if present():  # finished between the check above and the lock
            path.unlink(missing_ok=True)
            yield None
            return
        yield Partial(artifact, descriptor, path, target)
    finally:
        os.close(descriptor)


def hash_artifact(path: Path) -> Sha256 | None:
    """Return the sha256 of a stored file; None if there is no such file.

    Raises:
        StoreError: if it cannot be read.
    """
    hasher = hashlib.sha256()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with store_errors(f"read {path}"):
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        with file:
            while count := file.readinto(buffer):
                hasher.update(view[:count])
    return Sha256(hasher.hexdigest())
