from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from rtbuild.engine.debs import unpack_deb
from rtbuild.errors import IntegrityError
from tests.fakes.engine_packages import ar, plain_tar

FILES = {"./usr/bin/tool": b"#!/bin/sh\n", "./etc/tool.conf": b"x" * 100_000}


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".bz2", bz2.compress),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_every_compression_of_deb_5_is_unpacked(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    deb = tmp_path / "tool.deb"
    # An odd size in front of the data: ar pads members to even places
    deb.write_bytes(
        ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar{suffix}": compress(plain_tar(FILES))})
    )
    unpack_deb(deb, tmp_path / "root")
    assert (tmp_path / "root/etc/tool.conf").read_bytes() == FILES["./etc/tool.conf"]
    assert (tmp_path / "root/usr/bin/tool").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>not found</html>", "does not start as an ar archive"),
        (ar({"debian-binary": b"2.0\n"}), "has no data.tar"),
        (ar({"data.tar.xz": lzma.compress(plain_tar(FILES))})[:-100], "ends too early"),
        (ar({"data.tar.xz": lzma.compress(plain_tar(FILES))[:-40]}), ""),
        (ar({"data.tar.gz": gzip.compress(plain_tar(FILES))[:-40]}), ""),
        (ar({"data.tar.zst": b"not zstd"}), ""),
        (ar({"data.tar.xz": b"not xz"}), ""),
        (ar({"data.tar.lz4": b"x"}), "compressed in an unknown way"),
        (ar({"data.tar": b"x" * 600}), ""),
        (ar({"data.tar": plain_tar(FILES)}).replace(b"`\n", b"??"), "header is damaged"),
    ],
)
def test_a_broken_package_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    deb = tmp_path / "broken_1_amd64.deb"
    deb.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"broken_1_amd64.deb is not a Debian package") as caught:
        unpack_deb(deb, tmp_path / "root")
    assert why in (caught.value.details or "")


def test_a_package_cannot_write_outside_of_its_root(tmp_path: Path) -> None:
    deb = tmp_path / "evil.deb"
    deb.write_bytes(ar({"data.tar": plain_tar({"../evil": b"x"})}))
    with pytest.raises(IntegrityError):
        unpack_deb(deb, tmp_path / "root")
    assert not (tmp_path / "evil").exists()


def test_nor_through_a_symbolic_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        member = tarfile.TarInfo("door/evil")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    deb = tmp_path / "evil.deb"
    deb.write_bytes(ar({"data.tar": buffer.getvalue()}))
    with pytest.raises(IntegrityError):
        unpack_deb(deb, tmp_path / "root")
    assert not list(outside.iterdir())
