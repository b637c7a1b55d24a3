"""Small wheels and Debian packages, made by the test that needs them."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import zstandard

REGULAR = 0o100644
EXECUTABLE = 0o100755


def make_wheel(
    path: Path,
    files: Mapping[str, bytes | str],
    *,
    name: str = "demo",
    version: str = "1.0",
    entry_points: str = "",
    modes: Mapping[str, int] | None = None,
    metadata: Mapping[str, bytes | str | None] | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
    backwards: bool = False,
) -> Path:
    """Write a wheel of `files` to `path` and return it.

    The many parameters are what tests vary about a wheel: one keyword in a call, all others usual.

    Args:
        path: The file to write.
        files: The content of files by path, besides those of .dist-info.
        name: The name of the package.
        version: Its version.
        entry_points: The content of entry_points.txt; without it there is no such file.
        modes: The modes of files by path.
        metadata: Replaces files of .dist-info by name; None leaves a file out.
        compression: The compression method of the members.
        backwards: Whether to write the members in reverse order.
    """
    info = f"{name}-{version}.dist-info"
    own: dict[str, bytes | str | None] = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": entry_points or None,
        "RECORD": "",
        **(metadata or {}),
    }
    members = dict(files) | {f"{info}/{key}": content for key, content in own.items() if content is not None}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member in sorted(members, reverse=backwards):
            entry = zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = (modes or {}).get(member, REGULAR) << 16
            entry.compress_type = compression
            archive.writestr(entry, members[member])
    return path


def make_deb(
    path: Path,
    members: Sequence[tarfile.TarInfo | tuple[str, bytes]],
    *,
    compression: str = "xz",
    control: Sequence[tuple[str, bytes]] = (("./control", b""), ("./md5sums", b"")),
) -> Path:
    """Write a Debian package whose data.tar has `members`: headers, or regular files as path and content."""
    compress = {
        "": lambda content: content,
        "gz": lambda content: gzip.compress(content, mtime=0),
        "xz": lzma.compress,
        "zst": zstandard.ZstdCompressor().compress,
    }
    data = compress[compression](_tar(members))
    name = f"data.tar.{compression}" if compression else "data.tar"
    parts = (("debian-binary", b"2.0\n"), ("control.tar", _tar(control)), (name, data))
    path.write_bytes(b"!<arch>\n" + b"".join(ar_member(*part) for part in parts))
    return path


def _tar(members: Sequence[tarfile.TarInfo | tuple[str, bytes]]) -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size = len(member[1])
                archive.addfile(entry, io.BytesIO(member[1]))
    return tar.getvalue()


def ar_member(name: str, content: bytes) -> bytes:
    """Return a member of an ar archive (deb(5))."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def folder(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    """Return the header of a folder."""
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = mode
    return entry
