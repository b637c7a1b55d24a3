"""Locking, listing and removing files of the store, with errors that say what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtbuild.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISPLACED = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def lock_file(path: Path, operation: int, *, create: bool = True) -> int | None:
    """Open `path`, `flock` it and return the descriptor; None if it is locked and `operation` includes LOCK_NB.

    The holder may unlink or rename the file, so the lock counts only if the path still leads to the locked file.

    Args:
        path: The file to lock.
        operation: An operation of `fcntl.flock`.
        create: Create the file if it is missing. Otherwise it must exist, and need only be readable.

    Raises:
        OSError: if the file cannot be opened.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, operation)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def entries(folder: Path) -> list[Path]:
    """Return what is in `folder`, sorted by name; an empty list if there is no such folder."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def remove_tree(path: Path) -> None:
    """Remove a file or folder, whatever the permissions inside are. A missing one is ignored."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    if mode & 0o700 != 0o700:
        path.chmod(0o700)
    with os.scandir(path) as children:
        paths = [Path(child.path) for child in children]
    for child in paths:
        remove_tree(child)
    path.rmdir()


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn an `OSError` into a `StoreError` with a hint. `what` follows "cannot": `write <path>`."""
    try:
        yield
    except OSError as error:
        raise store_error(what, error) from error


def store_error(what: str, error: OSError) -> StoreError:
    """Return the `StoreError` for an `OSError` that was met while doing `what`."""
    hint = None
    if error.errno in _FULL:
        hint = "free some space with `rtbuild store gc`, or choose a store on another disk with --store"
    elif error.errno in _FORBIDDEN:
        hint = "make the store writable for your user, or choose another with --store or RTBUILD_STORE"
    elif error.errno in _MISPLACED:
        hint = "choose a folder that only rtbuild uses, with --store or RTBUILD_STORE"
    place = f"{error.filename}" if error.filename and str(error.filename) not in what else None
    return StoreError(f"cannot {what}: {error.strerror or error}", details=place, hint=hint)
