"""Unpacking Debian packages into a single tar without dpkg."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import BuildError, IntegrityError
from rtbuild.lockfile.model import DebArtifact
from rtbuild.wheels.toolroot import merged_folders, tool_debs, unpack_debs
from tests.fakes import locks
from tests.fakes.wheels import ar_member, folder, make_deb

START = b"!<arch>\n" + ar_member("debian-binary", b"2.0\n")
LONG = "./usr/share/" + "long/" * 30 + "file"


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.SYMTYPE
    entry.linkname = target
    return entry


@pytest.mark.parametrize("compression", ["", "gz", "xz", "zst"])
def test_members_are_copied_and_folders_are_written_once(tmp_path: Path, compression: str) -> None:
    lower = make_deb(
        tmp_path / "lower.deb",
        [folder("./"), folder("./usr/", 0o711), ("./usr/a", b"A" * 700), link("./usr/l", "a"), (LONG, b"deep")],
        compression=compression,
    )
    upper = make_deb(tmp_path / "upper.deb", [folder("./"), folder("./usr/"), ("./usr/b", b"B"), folder("./usr/new/")])
    unpack_debs([lower, upper], tmp_path / "out.tar", jobs=2)
    with tarfile.open(tmp_path / "out.tar") as archive:
        names = archive.getnames()
        assert [name.removeprefix("./") for name in names] == [
            ".",
            "usr",
            "usr/a",
            "usr/l",
            LONG[2:],
            "usr/b",
            "usr/new",
        ]
        assert archive.getmember("./usr").mode == 0o711
        content = archive.extractfile("./usr/a")
        assert content is not None
        assert content.read() == b"A" * 700
        deep = archive.extractfile(LONG)
        assert deep is not None
        assert deep.read() == b"deep"
        assert archive.getmember("./usr/l").linkname == "a"


def test_the_bytes_do_not_depend_on_the_number_of_jobs(tmp_path: Path) -> None:
    debs = [make_deb(tmp_path / f"{n}.deb", [folder("./"), (f"./f{n}", bytes([n]) * 5000)]) for n in range(7)]
    for jobs in (1, 3):
        unpack_debs(debs, tmp_path / f"{jobs}.tar", jobs=jobs)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "3.tar").read_bytes()
    assert len((tmp_path / "1.tar").read_bytes()) % 512 == 0


def test_without_packages_the_tar_is_empty(tmp_path: Path) -> None:
    unpack_debs([], tmp_path / "out.tar")
    assert (tmp_path / "out.tar").read_bytes() == bytes(1024)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be unpacked as a Debian package"),
        (b"<html>", "cannot be unpacked as a Debian package"),
        (START, "it has no data.tar"),
        (START + ar_member("data.tar.xz", b"this is no xz at all"), "cannot be decompressed"),
        (START + ar_member("data.tar.gz", b"\x1f\x8b\x08"), "truncated"),
        (START + ar_member("data.tar.lz4", b"x"), r"\.lz4"),
        (START + b"x" * 60, "damaged"),
        (START + ar_member("data.tar", b"x" * 1024), "damaged header"),
    ],
)
def test_the_error_names_the_file_that_is_not_a_package(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.deb").write_bytes(content)
    with pytest.raises(IntegrityError, match=message) as caught:
        unpack_debs([tmp_path / "bad.deb"], tmp_path / "out.tar")
    assert "bad.deb" in caught.value.brief
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.deb"], "no partial file is left"


@pytest.mark.parametrize("cut", [30, 400, 2000])
def test_a_truncated_package_is_detected(tmp_path: Path, cut: int) -> None:
    deb = make_deb(tmp_path / "cut.deb", [("./x", bytes(range(256)) * 40)], compression="")
    deb.write_bytes(deb.read_bytes()[:-cut])
    deb_ok = make_deb(tmp_path / "ok.deb", [("./y", b"y")])
    with pytest.raises(IntegrityError, match="truncated"):
        unpack_debs([deb_ok, deb], tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def deb(name: str, *depends: str) -> DebArtifact:
    return DebArtifact(
        filename=f"{name}.deb",
        path=f"pool/{name}.deb",
        size=1,
        sha256=sha256_bytes(name.encode()),
        name=name,
        version="1",
        architecture="amd64",
        archive="debian",
        suite="bullseye",
        built=0,
        layer="python",
        depends=depends,
    )


def test_the_tools_are_python_and_its_dependencies() -> None:
    debs = [
        deb("python3.9", "libc6"),
        deb("libc6", "libcrypt1"),
        deb("libcrypt1", "libc6"),
        deb("git", "perl"),
        deb("perl"),
    ]
    assert [tool.name for tool in tool_debs(debs)] == ["libc6", "libcrypt1", "python3.9"]
    assert [tool.name for tool in tool_debs(debs, ["git", "mawk"])] == ["git", "perl"]


def test_a_lock_without_python_is_an_error() -> None:
    with pytest.raises(BuildError, match="no Python"):
        tool_debs([deb("git")])


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.LNKTYPE
    entry.linkname = target
    return entry


def test_folders_of_the_root_are_links_into_usr(tmp_path: Path) -> None:
    old = make_deb(
        tmp_path / "old.deb",  # as Debian 12 packs them
        [folder("./"), folder("./bin/"), ("./bin/gunzip", b"g" * 700), hard_link("./bin/uncompress", "./bin/gunzip")],
    )
    new = make_deb(
        tmp_path / "new.deb",  # as Debian 13 does
        [folder("./"), folder("./usr/"), folder("./usr/bin/"), ("./usr/bin/a", b"A"), link("./bin", "usr/bin")],
    )
    unpack_debs([old, new], tmp_path / "out.tar", links=("bin", "lib"))
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.getnames() == [
            "bin",
            "lib",
            "usr/bin",
            "usr/bin/gunzip",
            "usr/bin/uncompress",
            "usr",
            "usr/bin/a",
        ]
        assert [archive.getmember(name).linkname for name in ("bin", "lib")] == ["usr/bin", "usr/lib"]
        assert archive.getmember("usr/bin/uncompress").linkname == "usr/bin/gunzip"
        content = archive.extractfile("usr/bin/gunzip")
        assert content is not None
        assert content.read() == b"g" * 700
    assert len((tmp_path / "out.tar").read_bytes()) % 512 == 0


@pytest.mark.parametrize(
    ("version", "architecture", "folders"),
    [
        ("11.1+deb11u11", "amd64", ()),
        ("12.4+deb12u15", "amd64", ("bin", "lib", "lib64", "sbin")),
        ("13.8+deb13u8", "arm64", ("bin", "lib", "sbin")),
    ],
)
def test_the_root_is_merged_since_debian_12(version: str, architecture: str, folders: tuple[str, ...]) -> None:
    base = replace(locks.deb("base-files", version), architecture=architecture)
    assert merged_folders([locks.deb("libc6", "2.36-9"), base]) == folders
    assert merged_folders([locks.deb("libc6", "2.36-9")]) == ()
