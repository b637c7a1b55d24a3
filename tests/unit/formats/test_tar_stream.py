"""Reading tars of other programs: whatever `tarfile` reads, within limits."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest

from rtbuild.formats import tar_stream
from rtbuild.formats.tar_stream import read_tar

HEADERS = 1 << 20
"""Bytes of headers that a member may have."""


def tar(*members: tuple[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def header(type: bytes, size: int, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = type, size
    return info.tobuf(tarfile.USTAR_FORMAT)


def contents(content: bytes) -> list[tuple[str, bytes | None]]:
    return [(name, stream.read() if stream else None) for name, stream in read_tar(io.BytesIO(content))]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_read_in_order(compress: Callable[[bytes], bytes], format: int) -> None:
    members = [("a/b", b"text"), ("a/" + "n" * 90, b""), ("a/c", bytes(30_000))]
    assert contents(compress(tar(*members, format=format))) == members


def test_what_is_no_file_has_no_content() -> None:
    assert contents(header(tarfile.DIRTYPE, 0, "a") + header(tarfile.SYMTYPE, 7, "l") + tar(("f", b"x"))) == [
        ("a", None),
        ("l", None),
        ("f", b"x"),
    ]


def test_a_large_file_that_nobody_reads_is_passed_over() -> None:
    names = [name for name, _ in read_tar(io.BytesIO(tar(("large", bytes(5 * HEADERS)), ("small", b""))))]
    assert names == ["large", "small"]


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("before", [b"", tar(("f", b"x"))[:1024], header(tarfile.SYMTYPE, 1 << 32)])
def test_headers_have_a_limit(type: bytes, before: bytes) -> None:
    """A member before it, such as a link that says it is large, makes no difference."""
    bomb = gzip.compress(before + header(type, 64 * HEADERS) + bytes(64 * HEADERS))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="the headers of a file have more than 1048576 bytes"):
            contents(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * HEADERS
    finally:
        tracemalloc.stop()


def test_a_sparse_file_is_refused() -> None:
    with pytest.raises(ValueError, match="x is a sparse file"):
        contents(header(tarfile.GNUTYPE_SPARSE, 512) + bytes(512))


def test_the_number_of_members_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_stream, "_MOST_MEMBERS", 2)
    assert len(contents(tar(("a", b""), ("b", b"")))) == 2
    with pytest.raises(ValueError, match="it has more than 2 files"):
        contents(tar(("a", b""), ("b", b""), ("c", b"")))


@pytest.mark.parametrize("content", [b"", b"<html>", tar(("a", b"text"))[:300]])
def test_what_is_no_tar(content: bytes) -> None:
    with pytest.raises(tarfile.TarError):
        contents(content)
