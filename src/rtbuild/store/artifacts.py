"""Artifacts in the store: complete files named by their sha256, and partial ones that a later run continues."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rtbuild.digest import Sha256
from rtbuild.errors import IntegrityError
from rtbuild.files import sync_folder
from rtbuild.lockfile.model import Artifact
from rtbuild.store.files import lock_file, store_errors

_CHUNK = 1 << 20
_READ_ONLY = 0o444  # artifacts are hard-linked and mounted into builds: nobody may write through such a link
_POLL = 0.05


class Partial:
    """An artifact that is being written; whoever holds it is the only writer on this machine.

    Bytes of an earlier attempt are kept: `size` says how many there are.
    """

    def __init__(self, artifact: Artifact, descriptor: int, path: Path, target: Path) -> None:
        self.artifact = artifact
        self._descriptor = descriptor
        self._path = path
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0
        self._take_over()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`. Raises `IntegrityError` once there are too many bytes, `StoreError` on a full disk."""
        if self.size + len(chunk) > self.artifact.size:
            raise IntegrityError(f"{self.artifact.filename}: more than the promised {self.artifact.size} bytes")
        with store_errors(f"write {self._path}"):
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Forget every byte."""
        with store_errors(f"write {self._path}"):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def complete(self) -> bool:
        """True when every byte is there, right or wrong."""
        return self.size == self.artifact.size

    def commit(self) -> Path:
        """Make the artifact part of the store; its path.

        Raises `IntegrityError`, and forgets the bytes, where they are not the artifact's.
        """
        found = self._hash.hexdigest()
        if self.size != self.artifact.size:
            raise IntegrityError(f"{self.artifact.filename}: {self.size} bytes instead of {self.artifact.size}")
        if found != self.artifact.sha256:
            self.restart()
            raise IntegrityError(
                f"{self.artifact.filename}: other bytes than the lock promises",
                details=f"sha256 {found} instead of {self.artifact.sha256}",
            )
        with store_errors(f"write {self._target}"):
            os.fsync(self._descriptor)
            self._path.replace(self._target)
            os.fchmod(self._descriptor, _READ_ONLY)  # not before: a partial file left behind could not be taken up
            sync_folder(self._target.parent)
        return self._target

    def _take_over(self) -> None:
        with store_errors(f"read {self._path}"):
            if os.fstat(self._descriptor).st_size > self.artifact.size:
                self.restart()
            while chunk := os.read(self._descriptor, _CHUNK):
                self._hash.update(chunk)
                self.size += len(chunk)


@contextmanager
def open_partial(
    artifact: Artifact, folder: Path, target: Path, *, present: Callable[[], bool], stop: Callable[[], bool]
) -> Iterator[Partial | None]:
    """The `Partial` of `artifact`; None where another process or thread finished it (`present`) or `stop` says so.

    Waits for another writer of the same artifact: two fetchers of one store share the work.
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
        if present():  # finished between the question above and the lock
            path.unlink(missing_ok=True)
            yield None
            return
        yield Partial(artifact, descriptor, path, target)
    finally:
        os.close(descriptor)


def hash_artifact(path: Path) -> Sha256 | None:
    """The sha256 of a stored file, None where it is absent. Raises `StoreError`."""
    state = hashlib.sha256()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with store_errors(f"read {path}"):
        try:
            stream = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        with stream:
            while count := stream.readinto(buffer):
                state.update(view[:count])
    return Sha256(state.hexdigest())
