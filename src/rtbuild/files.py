"""Reading regular files, and writing atomically: a crash leaves the old file or the new one, never a part of it.

A killed process leaves its temporary file as well. Such a file is locked for as long as its process lives, so that the
next writer of the same file can tell it from one in use, and removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_RANDOM = re.compile(r"[0-9a-f]{12}\Z")

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
    remove_unfinished(path.parent, f".{path.name}.")
    with replacing(path) as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    if durable:
        sync_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file beside `path`, which takes its place when the block ends, and is removed if it raises.

    Raises:
        OSError: if it cannot be created, written or renamed.
    """
    temporary, file = create_unfinished(path.parent, f".{path.name}.")
    try:
        with file:
            yield file
            file.flush()
            temporary.replace(path)  # while it is locked
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def create_unfinished(folder: Path, prefix: str) -> tuple[Path, BinaryIO]:
    """Create a temporary file in `folder`, to be renamed before it is closed; return its path and the open file.

    Args:
        folder: The folder.
        prefix: The start of its name; 12 random hexadecimal digits follow.

    Raises:
        OSError: if it cannot be created.
    """
    while True:
        path = folder / f"{prefix}{os.urandom(6).hex()}"
        file = path.open("x+b")
        with suppress(OSError):  # a filesystem without locks: the file stays if the process is killed
            fcntl.flock(file, fcntl.LOCK_EX)
        # Before it was locked, it looked like one that a killed process left.
        if path.exists():
            return path, file
        file.close()


def remove_unfinished(folder: Path, prefix: str = ".") -> None:
    """Remove the temporary files of killed processes, as `create_unfinished` names them, from `folder`.

    Raises:
        OSError: if the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix)]
    for name in names:
        if _RANDOM.search(name):
            with suppress(OSError):  # it is in use, renamed by now, or somebody else's
                _remove_unlocked(folder / name)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


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
        import shutil  # its import takes longer than all that most commands do with files

        shutil.copyfile(source, target)


def sync_folder(folder: Path) -> None:
    """Wait until a rename in `folder` is on disk, so that it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
