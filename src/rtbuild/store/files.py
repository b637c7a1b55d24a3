"""Writing files so that a crash at any moment leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rtbuild.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put `content` at `path`, making its folder; raises `OSError`. Not `durable`: a power cut may lose it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_file(path: Path, operation: int) -> int | None:
    """Open `path` and `flock` it; the descriptor, or None where LOCK_NB was asked for and another holds it.

    The holder may unlink or rename the file, so the lock counts only if the path still leads to the locked file.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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


def remove_tree(path: Path) -> None:
    """Remove a file or folder whatever the permissions inside are; one that is already gone is no error."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    if mode & 0o700 != 0o700:
        path.chmod(0o700)
    with os.scandir(path) as entries:
        children = [Path(entry.path) for entry in entries]
    for child in children:
        remove_tree(child)
    path.rmdir()


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn an `OSError` into a `StoreError` that says how to mend it. `what` reads after `cannot`: `write <path>`."""
    try:
        yield
    except OSError as error:
        raise store_error(what, error) from error


def store_error(what: str, error: OSError) -> StoreError:
    """The `StoreError` for an `OSError` met while doing `what`."""
    hint = None
    if error.errno in _FULL:
        hint = "free some space with `rtbuild store gc`, or choose a store on another disk with --store"
    elif error.errno in _FORBIDDEN:
        hint = "the store must be writable by you; choose another with --store or RTBUILD_STORE"
    place = f"{error.filename}" if error.filename and str(error.filename) not in what else None
    return StoreError(f"cannot {what}: {error.strerror or error}", details=place, hint=hint)
