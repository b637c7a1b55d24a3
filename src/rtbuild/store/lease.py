"""The lease of a store: garbage collection waits until no other process has the store open."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from rtbuild.progress import Progress
from rtbuild.store.files import lock_file


class Lease:
    """A shared lock on the whole store, held by every process that has it open. Garbage collection needs it alone."""

    def __init__(self, path: Path, progress: Progress, *, create: bool) -> None:
        descriptor = lock_file(path, fcntl.LOCK_SH | fcntl.LOCK_NB, create=create)
        if descriptor is None:
            progress.note("waiting for another process to finish collecting garbage in the store")
            descriptor = lock_file(path, fcntl.LOCK_SH, create=create)
        assert descriptor is not None  # a blocking lock is always granted
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def upgrade(self, progress: Progress) -> None:
        """Wait until this process is the only one."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("waiting for other processes that use the store")
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def downgrade(self) -> None:
        """Let other processes in again."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)


_leases: weakref.WeakValueDictionary[Path, Lease] = weakref.WeakValueDictionary()


def lease_of(root: Path, progress: Progress, *, create: bool = True) -> Lease:
    """Return this process's lease of the store in `root`; `progress` is notified if it has to wait.

    Args:
        root: The folder of the store.
        progress: Listener for progress.
        create: Create the lock file if it is missing.

    Raises:
        OSError: if the lock file cannot be opened.
    """
    # One per process and folder: two leases of one process would keep its own garbage collection waiting for ever.
    path = root.resolve() / "locks" / "in-use.lock"
    lease = _leases.get(path)
    if lease is None:
        lease = _leases[path] = Lease(path, progress, create=create)
    return lease
