"""Raw layers as engines write them, made with `tarfile` and not with the code under test."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from rtbuild.formats.frames import DEFAULT, FRAME_SIZE, Compressor
from rtbuild.formats.tar_entry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Entry

_TYPES = {
    REGULAR: tarfile.REGTYPE,
    HARDLINK: tarfile.LNKTYPE,
    SYMLINK: tarfile.SYMTYPE,
    CHARACTER: tarfile.CHRTYPE,
    BLOCK: tarfile.BLKTYPE,
    DIRECTORY: tarfile.DIRTYPE,
    FIFO: tarfile.FIFOTYPE,
}


Member = tuple[Entry, bytes]


def folder(path: str, *, mode: int = 0o755, uid: int = 0, mtime: int = 100) -> Member:
    return Entry(path=path, type=DIRECTORY, mode=mode, uid=uid, mtime=mtime), b""


def file(path: str, content: bytes = b"", *, mode: int = 0o644, uid: int = 0, mtime: int = 100) -> Member:
    return Entry(path=path, mode=mode, uid=uid, mtime=mtime, size=len(content)), content


def link(path: str, target: str, *, mtime: int = 100) -> Member:
    return Entry(path=path, type=HARDLINK, link=target, mtime=mtime), b""


def symlink(path: str, target: str, *, mtime: int = 100) -> Member:
    return Entry(path=path, type=SYMLINK, link=target, mode=0o777, mtime=mtime), b""


def whiteout(path: str) -> Member:
    """The file that hides `path` in lower layers."""
    name = Path(path).name
    return file(path.removesuffix(name) + ".wh." + name, mode=0, mtime=999)


def opaque(path: str) -> Member:
    """The file that hides the content of the folder `path` in lower layers."""
    return file(f"{path}/.wh..wh..opq", mode=0, mtime=999)


def tar_info(entry: Entry) -> tarfile.TarInfo:
    """Convert a member to that of `tarfile`."""
    info = tarfile.TarInfo(entry.path)
    info.type = _TYPES[entry.type]
    info.mode, info.uid, info.gid, info.size, info.mtime = entry.mode, entry.uid, entry.gid, entry.size, entry.mtime
    info.linkname = entry.link
    info.devmajor, info.devminor = entry.device
    info.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in (entry.xattrs or {}).items()
    }
    return info


def raw_layer(*members: Member, noise: bool = False) -> bytes:
    """A plain tar of `members`. `noise` adds what archivers add: names of owners, fractions of seconds, more times."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in members:
            info = tar_info(entry)
            if noise:
                info.uname, info.gname = "root", "staff"
                info.pax_headers = {
                    **info.pax_headers,
                    "atime": "1700000000.5",
                    "ctime": "1700000000.25",
                    "mtime": f"{entry.mtime}.123456",
                }
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def contents(raw: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """What `tarfile` reads from a plain tar, in order; fails if a path is there twice."""
    members: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for info in archive:
            assert info.name not in members, f"{info.name} is there twice"
            stream = archive.extractfile(info) if info.isreg() else None
            members[info.name] = (info, stream.read() if stream else b"")
    return members


def compressed(content: bytes, compressor: Compressor = DEFAULT) -> bytes:
    """Compress `content` as the blob of a layer: one frame for every `FRAME_SIZE` bytes."""
    return b"".join(
        compressor.frame(content[start : start + FRAME_SIZE]) for start in range(0, len(content), FRAME_SIZE)
    )
