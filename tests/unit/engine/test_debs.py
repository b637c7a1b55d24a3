"""Unpacking .debs, and refusing broken and malicious ones."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import posixpath
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


def refused(folder: Path, *members: tarfile.TarInfo, content: bytes = b"") -> str:
    """Return why a package with these members is refused; each regular one has `content`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    deb = folder / "evil.deb"
    deb.write_bytes(ar({**VERSION, "data.tar": buffer.getvalue()}))
    with pytest.raises(IntegrityError, match=r"evil\.deb: cannot be unpacked as a Debian package: ") as caught:
        unpack_deb(deb, folder / "root")
    return caught.value.brief


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_a_hard_link_to_a_file_outside_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"before")
    link = member("usr/door", tarfile.LNKTYPE, str(secret))
    assert "is a hard link to" in refused(tmp_path, link, member("usr/door"), content=b"after")
    assert secret.read_bytes() == b"before"
    assert secret.stat().st_nlink == 1


def test_a_hard_link_through_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"before")
    door = member("door", tarfile.SYMTYPE, str(tmp_path))
    assert "outside of its root" in refused(tmp_path, door, member("copy", tarfile.LNKTYPE, "door/secret"))
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_a_chain_of_links_that_realpath_gives_up_on_is_refused(tmp_path: Path) -> None:
    # The archive of CVE-2025-4517: 16 folders of 247 letters with a short link to each, then a way up out of them.
    (tmp_path / "victim").mkdir()
    letters, path, members = "d" * 247, "", []
    for step in "abcdefghijklmnop":
        members += [
            member(posixpath.join(path, letters), tarfile.DIRTYPE),
            member(posixpath.join(path, step), tarfile.SYMTYPE, letters),
        ]
        path = posixpath.join(path, letters)
    link = posixpath.join("/".join("abcdefghijklmnop"), "l" * 254)
    members += [
        member(link, tarfile.SYMTYPE, "../" * 16),
        member("escape", tarfile.SYMTYPE, f"{link}/../../victim"),
        member("escape/planted"),
    ]
    refused(tmp_path, *members)
    assert not list((tmp_path / "victim").iterdir())


@pytest.mark.parametrize("target", ["../../victim", "a/../../victim", "loop"])
def test_a_relative_link_out_of_the_root_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "victim").mkdir()
    loop = member("usr/loop", tarfile.SYMTYPE, "loop")
    refused(
        tmp_path, member("usr/a", tarfile.DIRTYPE), loop, member("usr/x", tarfile.SYMTYPE, target), member("usr/x/f")
    )
    assert not list((tmp_path / "victim").iterdir())


def test_devices_are_refused(tmp_path: Path) -> None:
    assert "dev/null is a character" in refused(tmp_path, member("dev/null", tarfile.CHRTYPE))


def test_links_inside_of_the_package_work(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(member("usr/lib", tarfile.DIRTYPE))
        tar.addfile(member("lib", tarfile.SYMTYPE, "usr/lib"))
        tar.addfile(member("lib", tarfile.DIRTYPE))
        file = member("lib/x")
        file.size, file.mode = 3, 0o6777
        tar.addfile(file, io.BytesIO(b"abc"))
        tar.addfile(member("lib/y", tarfile.LNKTYPE, "./lib/x"))
        tar.addfile(member("etc/door", tarfile.SYMTYPE, "/nowhere"))
    deb = tmp_path / "good.deb"
    deb.write_bytes(ar({**VERSION, "data.tar": buffer.getvalue()}))
    for _ in range(2):  # over what is there already, too
        unpack_deb(deb, tmp_path / "root")
        assert (tmp_path / "root/usr/lib/y").read_bytes() == b"abc"
        assert (tmp_path / "root/usr/lib/x").stat().st_mode & 0o7777 == 0o755
        assert (tmp_path / "root/lib").readlink() == Path("usr/lib")
        assert (tmp_path / "root/etc/door").readlink() == Path("/nowhere")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.deb")
    with pytest.raises(OSError, match="not a regular file"):
        unpack_deb(tmp_path / "pipe.deb", tmp_path / "root")
