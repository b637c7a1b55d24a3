"""Reading regular files, and writing atomically: a crash leaves the old file or the new one, never a part of it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

# Another filesystem, one without hard links (EPERM on FAT), or more links than it allows.
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading if it is a regular one: a pipe would block for ever, and a device may never end.

    Raises:
        OSError: if it cannot be opened, or is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises:
        OSError: if it cannot be read, is not a regular file, or is larger.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {limit} bytes", str(path))
    return content


def require_inside(path: Path, folder: Path) -> None:
    """Check that `path`, with its links followed, is in `folder`: links in a folder of data may lead anywhere.

    Raises:
        OSError: if it is elsewhere or does not exist.
    """
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
    except RuntimeError:  # a loop of links, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None
    if not inside:
        raise OSError(errno.EXDEV, f"a link leads out of {folder.name}/", str(path))


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` to `path`, creating its folder.

    Args:
        path: The file.
        content: Its new content.
        durable: Whether the file survives a power cut once this returns. Waiting for the disk takes longer.

    Raises:
        OSError: if the file cannot be written; `path` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.urandom(6).hex()}"
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


def link_file(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy if the filesystem does not allow the link.

    Raises:
        FileExistsError: if `target` exists.
        OSError: if it cannot be created.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)


def sync_folder(folder: Path) -> None:
    """Wait until a rename in `folder` is on disk, so that it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
