"""Temporary folders inside the store: gone when their work ends; those of a killed process go at the next open."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rtbuild.store.files import lock_file, remove_tree, store_errors

TEMPORARY = "tmp"
"""Where a store has its temporary folders."""

_SUFFIX = ".lock"


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, which is made where it is missing. Raises `StoreError`.

    A lock file beside it is held meanwhile: the kernel lets go of it however we end.
    """
    name = f"{prefix}-{secrets.token_hex(8)}"
    folder = parent / name
    guard = parent / (name + _SUFFIX)
    with store_errors(f"make a temporary folder in {parent}"):
        parent.mkdir(parents=True, exist_ok=True)
        descriptor = lock_file(guard, fcntl.LOCK_EX)
        assert descriptor is not None  # a blocking lock is always granted
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        with suppress(OSError):  # what cannot be removed now is removed by the next open; the work itself is done
            remove_tree(folder)
            guard.unlink(missing_ok=True)
        os.close(descriptor)


def remove_left_overs(parent: Path) -> int:
    """Remove the temporary folders of processes that are dead; how many there were."""
    removed = 0
    with os.scandir(parent) as entries:
        names = {entry.name for entry in entries}
    folders = {name.removesuffix(_SUFFIX) for name in names}
    for name in sorted(folders):
        guard = parent / (name + _SUFFIX)
        descriptor = lock_file(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if descriptor is None:
            continue
        try:
            if (parent / name).exists():
                removed += 1
            with suppress(OSError):
                remove_tree(parent / name)
                guard.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return removed
