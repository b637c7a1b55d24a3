"""What the first bytes of a .deb tell (deb(5)): when it was built, and its control stanza."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile

import zstandard

from rtbuild.lock.debian.control_file import parse_stanza

HEAD = 132
"""Bytes that hold the archive's magic number and the headers of its first two members."""

_MAGIC = b"!<arch>\n"
_HEADER = 60


def build_time(head: bytes) -> int:
    """When the package was built, in seconds since 1970: the time of its first member; raises `ValueError` for no
    .deb."""
    if not head.startswith(_MAGIC + b"debian-binary"):
        raise ValueError("it does not begin as a Debian package does")
    try:
        return int(head[24:36].decode())
    except ValueError:
        raise ValueError("the time in its header is no number") from None


def control_fields(head: bytes) -> dict[str, str]:
    """The control stanza, where the member that holds it lies within `head`; raises `ValueError` where it does not."""
    build_time(head)
    position = len(_MAGIC)
    while len(header := head[position : position + _HEADER]) == _HEADER:
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        size = int(header[48:58].decode())
        content = head[position + _HEADER : position + _HEADER + size]
        if name.startswith("control.tar"):
            if len(content) < size:
                raise ValueError("its control member is too long")
            return _read_control(name, content)
        position += _HEADER + size + size % 2
    raise ValueError("it has no control member")


def _read_control(name: str, content: bytes) -> dict[str, str]:
    try:
        match name.removeprefix("control.tar"):
            case ".xz":
                content = lzma.decompress(content)
            case ".gz":
                content = gzip.decompress(content)
            case ".zst":
                content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
            case "":
                pass
            case other:
                raise ValueError(f"its control member is compressed as {other}")
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                if member.name.removeprefix("./") == "control" and (stream := tar.extractfile(member)):
                    return parse_stanza(stream.read().decode())
    except (lzma.LZMAError, zstandard.ZstdError, tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"its control member cannot be read: {error}") from None
    raise ValueError("its control member holds no control file")
