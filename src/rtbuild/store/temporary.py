"""Temporary folders inside the store: removed when their work ends, those of a killed process at the next open."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rtbuild.store.files import lock_file, remove_tree, store_errors

TEMPORARY = "tmp"
"""The folder of a store that has its temporary folders."""

_SUFFIX = ".lock"
_PATIENCE = 1.0
"""Seconds in which the removal of a folder is tried again."""


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Create a folder in `parent`, which is created if it is missing, and remove it when the block ends.

    A lock file beside it is held meanwhile: the kernel releases it however the process ends.

    Raises:
        StoreError: if the folder cannot be created.
    """
    name = f"{prefix}-{os.urandom(8).hex()}"
    folder = parent / name
    guard = parent / (name + _SUFFIX)
    with store_errors(f"create a temporary folder in {parent}"):
        parent.mkdir(parents=True, exist_ok=True)
        descriptor = lock_file(guard, fcntl.LOCK_EX)
        assert descriptor is not None  # a blocking lock is always granted
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        _remove(folder, guard)
        os.close(descriptor)


def _remove(folder: Path, guard: Path) -> None:
    """Remove a temporary folder and its lock file; what cannot be removed is left to the next open.

    The programs of an interrupted build may write into the folder for a moment after it has ended.
    """
    deadline = time.monotonic() + _PATIENCE
    last = False
    while not last:
        last = time.monotonic() > deadline  # one try begins after the deadline, however long the others took
        with suppress(OSError):
            remove_tree(folder)
            guard.unlink(missing_ok=True)
            return
        time.sleep(0.02)


def remove_leftovers(parent: Path) -> None:
    """Remove the temporary folders of dead processes.

    Raises:
        OSError: if `parent` cannot be read.
    """
    with os.scandir(parent) as entries:
        names = {entry.name for entry in entries}
    folders = {name.removesuffix(_SUFFIX) for name in names}
    for name in sorted(folders):
        guard = parent / (name + _SUFFIX)
        descriptor = lock_file(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if descriptor is None:
            continue
        try:
            with suppress(OSError):
                remove_tree(parent / name)
                guard.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
