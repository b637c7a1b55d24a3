"""Unpacking .debs, and refusing broken and malicious ones."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from rtbuild.engine.debs import unpack_deb
from rtbuild.errors import IntegrityError
from tests.fakes.engine_packages import ar, plain_tar

VERSION = {"debian-binary": b"2.0\n"}
FILES = {"./usr/bin/tool": b"#!/bin/sh\n", "./etc/tool.conf": b"x" * 100_000}


def test_the_files_are_unpacked(tmp_path: Path) -> None:
    deb = tmp_path / "tool.deb"
    deb.write_bytes(ar({**VERSION, "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(plain_tar(FILES))}))
    unpack_deb(deb, tmp_path / "root")
    assert (tmp_path / "root/etc/tool.conf").read_bytes() == FILES["./etc/tool.conf"]
    assert (tmp_path / "root/usr/bin/tool").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "content",
    [
        b"<html>not found</html>",
        ar({**VERSION, "data.tar.xz": lzma.compress(plain_tar(FILES))})[:-100],
        ar({**VERSION, "data.tar.gz": gzip.compress(plain_tar(FILES))[:-4]}),
        ar({**VERSION, "data.tar.xz": b"not xz"}),
        ar({**VERSION, "data.tar": b"x" * 600}),
    ],
)
def test_a_broken_package_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    deb = tmp_path / "broken_1_amd64.deb"
    deb.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"broken_1_amd64\.deb: cannot be unpacked as a Debian package"):
        unpack_deb(deb, tmp_path / "root")


def test_a_package_cannot_write_outside_its_root(tmp_path: Path) -> None:
    deb = tmp_path / "evil.deb"
    deb.write_bytes(ar({**VERSION, "data.tar": plain_tar({"../evil": b"x"})}))
    with pytest.raises(IntegrityError):
        unpack_deb(deb, tmp_path / "root")
    assert not (tmp_path / "evil").exists()


def test_a_package_cannot_write_outside_its_root_through_a_symbolic_link(tmp_path: Path) -> None:
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
    deb.write_bytes(ar({**VERSION, "data.tar": buffer.getvalue()}))
    with pytest.raises(IntegrityError):
        unpack_deb(deb, tmp_path / "root")
    assert not list(outside.iterdir())
