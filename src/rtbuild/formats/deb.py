"""Read and rewrite Debian packages without dpkg.

A .deb is an ar archive of debian-binary, control.tar and data.tar (deb(5)).

Anything else raises `ValueError` with a reason that continues a sentence about the package ("it has no data.tar").
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from rtbuild.errors import IntegrityError
from rtbuild.formats.streams import SUFFIXES, decompressed
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import REGULAR

_MAGIC = b"!<arch>\n"
_HEADER = 60
_PIECE = 256 << 10

HEAD = len(_MAGIC) + _HEADER
"""The number of bytes at the start of a .deb that `build_time` needs."""

_LARGEST_CONTROL = 32 << 20
"""Bytes of a package's control.tar: scripts, checksums of its files, and a description. The largest have 5 MiB."""

_LARGEST_STANZA = 1 << 20
"""Bytes of a control file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A member of the ar archive; `time` in seconds since 1970, `size` in bytes."""

    name: str
    time: int
    size: int


def build_time(head: bytes) -> int:
    """Return when the package that begins with `head` (`HEAD` bytes) was built: the time of its first member.

    Returns:
        Seconds since 1970.

    Raises:
        ValueError: if this is not the start of a Debian package.
    """
    return next(_members(io.BytesIO(head))).time


def control_text(deb: BinaryIO) -> str:
    """Return the control file of the package; `deb` is at its start.

    Raises:
        ValueError: if this is not a Debian package with a control file.
    """
    control = control_files(deb).get("control")
    if control is None:
        raise ValueError("its control.tar holds no control file")
    if len(control) > _LARGEST_STANZA:
        raise ValueError(f"its control file has {len(control)} bytes")
    try:
        return control.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"its control file is not UTF-8: byte {error.start}") from None


def control_files(deb: BinaryIO) -> dict[str, bytes]:
    """Return the files of the package's control.tar, such as `control` and `preinst`; `deb` is at its start.

    Raises:
        ValueError: if this is not a Debian package.
    """
    content = io.BytesIO(b"".join(_content(deb, "control.tar", limit=_LARGEST_CONTROL)))
    files: dict[str, bytes] = {}
    try:
        for member, position in read_members(content):
            if member.type == REGULAR:
                content.seek(position)
                files.setdefault(member.path, content.read(member.size))
    except IntegrityError as error:
        raise ValueError(f"its control.tar cannot be read: {error}") from None
    return files


def data_tar(deb: BinaryIO) -> Iterator[bytes]:
    """Return the tar of the package's files, uncompressed, in pieces; `deb` is at its start.

    Raises:
        ValueError: if this is not a Debian package with files, or, while the pieces are read, if they are damaged.
    """
    return _content(deb, "data.tar")


def write_with_data(deb: BinaryIO, data: bytes, out: BinaryIO) -> None:
    """Write the package `deb` to `out`, but with the tar `data` in place of its files; `deb` is at its start.

    Raises:
        ValueError: if this is not a Debian package.
    """
    out.write(_MAGIC)
    for member in _members(deb):
        is_data = member.name == "data.tar" or member.name.startswith("data.tar.")
        name, size = ("data.tar", len(data)) if is_data else (member.name, member.size)
        out.write(f"{name:<16}{member.time:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode("ascii", "replace"))
        out.writelines((data,) if is_data else _stored(deb, member))
        out.write(b"\n" * (size % 2))
        if is_data:
            return
    raise ValueError("it has no data.tar")


def _content(deb: BinaryIO, stem: str, *, limit: int | None = None) -> Iterator[bytes]:
    """Return the content of the member `stem`, decompressed: at most `limit` bytes."""
    for member in _members(deb):
        if member.name == stem:
            if limit is not None and member.size > limit:
                raise ValueError(f"its {stem} has {member.size} bytes, more than {limit}")
            return _stored(deb, member)
        if member.name.startswith(f"{stem}."):
            suffix = member.name.removeprefix(stem)
            if suffix not in SUFFIXES:
                raise ValueError(f"its {stem} has an unknown compression, {suffix!r}")
            return _decompressed(deb, member, SUFFIXES[suffix], limit)
    raise ValueError(f"it has no {stem}")


def _members(deb: BinaryIO) -> Iterator[_Member]:
    """Iterate over the members; `deb` is at the content of the current one."""
    position = len(_MAGIC)
    if deb.read(position) != _MAGIC:
        raise ValueError("it does not start like an ar archive")
    while (header := deb.read(_HEADER)) or position == len(_MAGIC):
        # int() alone would accept signs, spaces and underscores.
        time, size = header[16:28].rstrip(), header[48:58].rstrip()
        if len(header) < _HEADER or header[58:] != b"`\n" or not (time.isdigit() and size.isdigit()):
            raise ValueError("the header of a member is damaged")
        name = header[:16].decode("ascii", "replace").rstrip().removesuffix("/")
        if position == len(_MAGIC) and name != "debian-binary":
            raise ValueError("it does not start like a Debian package")
        yield _Member(name=name, time=int(time), size=int(size))
        position += _HEADER + int(size) + int(size) % 2
        deb.seek(position)


def _stored(deb: BinaryIO, member: _Member) -> Iterator[bytes]:
    left = member.size
    while left:
        piece = deb.read(min(_PIECE, left))
        if not piece:
            raise ValueError(f"its {member.name} is truncated")
        left -= len(piece)
        yield piece


def _decompressed(deb: BinaryIO, member: _Member, name: str, limit: int | None) -> Iterator[bytes]:
    if not member.size:
        raise ValueError(f"its {member.name} is truncated")
    try:
        yield from decompressed(_stored(deb, member), name, limit=limit)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith("its ") else f"its {member.name} {text}") from None
