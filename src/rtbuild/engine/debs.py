"""Unpack .debs without dpkg."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rtbuild.errors import IntegrityError
from rtbuild.files import open_regular
from rtbuild.formats.deb import data_tar
from rtbuild.formats.frames import reader_of
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Entry

_CHUNK = 1 << 20
# Neither set-user-ID bits nor write permissions for others: root runs programs from here.
_MODES = 0o755
# What names and links of the package are to blame for, not the disk.
_IMPOSSIBLE = {errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}


def unpack_deb(deb: Path, root: Path) -> None:
    """Unpack the files of `deb` into `root`, owned by the current user, without running any of its scripts.

    Nothing is written outside `root`, whatever paths and links the package has. Symbolic links are made as they are,
    so they may lead anywhere; no file is written through one that leads out of `root`.

    Raises:
        IntegrityError: if the file is not a .deb, or has a path or a link that leads outside of its root, or a device.
        OSError: if a file cannot be written.
    """
    try:
        with open_regular(deb) as stream:
            pieces = data_tar(stream)
            content = reader_of(pieces)
            target = _Root(root)
            for entry, position in read_members(content):
                content.seek(position)
                try:
                    target.add(entry, content)
                except OSError as error:
                    if error.errno not in _IMPOSSIBLE:
                        raise
                    raise ValueError(f"{entry.path[:200]}: {error.strerror}") from None
            # Read on after the end of the tar, to find out whether the member is complete
            deque(pieces, maxlen=0)
    except (IntegrityError, ValueError) as error:
        raise IntegrityError(f"{deb.name}: cannot be unpacked as a Debian package: {error}") from error


class _Root:
    """A folder that a package is unpacked into."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._folders: set[str] = {""}

    def add(self, entry: Entry, content: BinaryIO) -> None:
        """Write one member; its content is at the position of `content`."""
        if not entry.path:
            return
        folder, name = posixpath.split(entry.path)
        path = self._folder(folder) / name
        if entry.type == DIRECTORY:
            self._make_folder(entry.path, path, entry.mode & _MODES)
            return
        if path.is_dir() and not path.is_symlink():
            raise ValueError(f"{entry.path} is a folder and a file")
        with suppress(FileNotFoundError):
            path.unlink()
        self._folders.discard(entry.path)
        if entry.type == REGULAR:
            self._write(entry, path, content)
        elif entry.type == SYMLINK:
            path.symlink_to(entry.link)
        elif entry.type == HARDLINK:
            link_folder, link_name = posixpath.split(entry.link)
            source = self._folder(link_folder) / link_name
            if not link_name or not source.is_file() or source.is_symlink():
                raise ValueError(f"{entry.path} is a hard link to {entry.link}, which it has no such file")
            os.link(source, path, follow_symlinks=False)
        else:
            raise ValueError(f"{entry.path} is a {entry.type}")

    def _write(self, entry: Entry, path: Path, content: BinaryIO) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            left = entry.size
            while left:
                piece = content.read(min(left, _CHUNK))
                if not piece:
                    raise ValueError(f"{entry.path} is truncated")
                file.write(piece)
                left -= len(piece)
            os.fchmod(descriptor, entry.mode & _MODES)
            file.flush()
            os.utime(descriptor, (entry.mtime, entry.mtime))

    def _make_folder(self, name: str, path: Path, mode: int) -> None:
        if path.is_symlink():
            self._folder(name)  # as dpkg does, keep a link to a folder, such as that of a merged /usr
            return
        path.mkdir(exist_ok=True)
        path.chmod(mode | stat.S_IRWXU)
        self._folders.add(name)

    def _folder(self, name: str) -> Path:
        """Return the path of a folder, which is created if it is missing.

        Links on the way are followed if they lead to a folder of the package.
        """
        if name not in self._folders:
            path = self._root
            for part in name.split("/"):
                path /= part
                if path.is_symlink():
                    path = self._followed(path)
                else:
                    path.mkdir(exist_ok=True)
            if not path.is_symlink() and path == self._root / name:
                self._folders.add(name)
            return path
        return self._root / name

    def _followed(self, path: Path) -> Path:
        """Return the folder that a link leads to, one link after the other: realpath() gives up on long paths.

        (CVE-2025-4517 made realpath() stop early, so that a check of its result saw a path inside of the root.)
        """
        for _ in range(20):
            target = os.readlink(path)
            relative = path.parent.relative_to(self._root).as_posix()
            joined = posixpath.normpath(posixpath.join(relative, target))
            if target.startswith("/") or joined.startswith("..") or ".." in target.strip("./").split("/"):
                break
            path = self._root / joined
            if any((self._root / parent).is_symlink() for parent in _parents(joined)):
                break
            if not path.is_symlink():
                if path.is_dir():
                    return path
                break
        raise ValueError(f"a path leads outside of its root, or nowhere, through the link {path.name}")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
