"""Reading .debs, and rejecting files that are not .debs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest
import zstandard

from rtbuild.formats.deb import HEAD, build_time, control_text, data_tar
from tests.fakes.debian_archive import FakeDeb
from tests.fakes.engine_packages import ar, plain_tar

VERSION = {"debian-binary": b"2.0\n"}
FILES = {"./usr/bin/tool": b"#!/bin/sh\n", "./etc/tool.conf": bytes(range(256)) * 3000}
TAR = plain_tar(FILES)
CONTROL = plain_tar({"./postinst": b"true\n", "./control": b"Package: tool\n"})


def lzma_alone(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_ALONE)


COMPRESSIONS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    (".gz", gzip.compress),
    (".xz", lzma.compress),
    (".lzma", lzma_alone),
    (".bz2", bz2.compress),
    (".zst", zstandard.ZstdCompressor().compress),
]


def files_of(content: bytes) -> bytes:
    return b"".join(data_tar(io.BytesIO(content)))


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSIONS)
def test_reads_every_compression_of_deb_5(suffix: str, compress: Callable[[bytes], bytes]) -> None:
    # A member of odd size before the data: ar pads members to even offsets.
    members = {f"control.tar{suffix}": compress(CONTROL), "_odd": b"odd", f"data.tar{suffix}": compress(TAR)}
    content = ar({**VERSION, **members})
    assert control_text(io.BytesIO(content)) == "Package: tool\n"
    assert files_of(content) == TAR


@pytest.mark.parametrize(("suffix", "compress"), [pair for pair in COMPRESSIONS if pair[0] not in ("", ".lzma")])
def test_reads_several_streams_in_a_row(suffix: str, compress: Callable[[bytes], bytes]) -> None:
    assert files_of(ar({**VERSION, f"data.tar{suffix}": compress(TAR[:700]) + compress(TAR[700:])})) == TAR


def test_reads_the_build_time_from_the_first_bytes() -> None:
    content = FakeDeb(name="a", depends="b", built=1_600_000_123).build()
    assert build_time(content[:HEAD]) == 1_600_000_123
    assert "Depends: b\n" in control_text(io.BytesIO(content))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"!<arch>\n",
        b"<html>" * 30,
        ar(VERSION)[: HEAD - 1],
        ar({"data.tar": TAR})[:HEAD],
        ar(VERSION).replace(b"debian-binary   0", b"debian-binary   soon"),
    ],
)
def test_rejects_the_start_of_anything_else(head: bytes) -> None:
    with pytest.raises(ValueError):
        build_time(head)


@pytest.mark.parametrize("size", ["-60", "+4", "4_0", "", "4 4", "0x4"])
def test_rejects_a_size_that_is_not_a_plain_number(size: str) -> None:
    # -60 leads back to the header itself: a reader that follows it never ends.
    member = f"{'other':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode()
    with pytest.raises(ValueError, match="header of a member is damaged"):
        files_of(ar(VERSION) + member + b"x" * 60)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>not found</html>", "does not start like an ar archive"),
        (ar({"data.tar": TAR}), "does not start like a Debian package"),
        (ar(VERSION), "has no data.tar"),
        (ar({**VERSION, "data.tar.xz": lzma.compress(TAR)})[:-100], "its data.tar.xz is truncated"),
        (ar({**VERSION, "data.tar": TAR})[:-100], "its data.tar is truncated"),
        *(
            (ar({**VERSION, f"data.tar{suffix}": compress(TAR)[:-40]}), f"its data.tar{suffix} is truncated")
            for suffix, compress in COMPRESSIONS
            if suffix
        ),
        *(
            (ar({**VERSION, f"data.tar{suffix}": b"\xffThis is something else"}), "cannot be decompressed")
            for suffix, _ in COMPRESSIONS
            if suffix
        ),
        (ar({**VERSION, "data.tar.xz": b""}), "is truncated"),
        (ar({**VERSION, "data.tar.xz": lzma.compress(TAR) + b"more that is not a stream"}), "cannot be decompressed"),
        (ar({**VERSION, "data.tar.lz4": b"x"}), r"unknown compression, '\.lz4'"),
        (ar({**VERSION, "data.tar": TAR}).replace(b"`\n", b"??"), "header of a member is damaged"),
    ],
)
def test_says_what_is_wrong(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        files_of(content)


def control_symlink() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("./control")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (b"x" * 600, "cannot be read"),
        (gzip.compress(CONTROL), "cannot be read"),
        (plain_tar({"./control": b"\xff"}), "is not UTF-8"),
        (plain_tar({"./postinst": b"true\n"}), "holds no control file"),
        (control_symlink(), "holds no control file"),
    ],
)
def test_rejects_a_control_file_that_cannot_be_read(control: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        control_text(io.BytesIO(ar({**VERSION, "control.tar": control})))
