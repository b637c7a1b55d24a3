"""The script that builds wheels from sdists: unpacking. Builds themselves are tested with a real engine."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from rtbuild.inside.build_wheels import unpack_sdist, unpack_wheel
from tests.fakes.wheels import make_wheel

EPOCH = 1_680_000_000

# Newer Pythons ask for a filter; the script checks paths itself, because the target's Python has none.
pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")


def entry(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o600) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime, info.uid = kind, link, mode, 5, 1000
    return info


def sdist(path: Path, *members: tarfile.TarInfo) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO())
    return str(path)


def test_files_get_the_same_modes_and_times(tmp_path: Path) -> None:
    names = ("demo-1.0/setup.py", "demo-1.0/src/run.sh")
    archive = sdist(tmp_path / "sdist", entry(names[0], mode=0o640), entry(names[1], mode=0o700))
    top = unpack_sdist(archive, "demo-1.0.tar.gz", str(tmp_path / "source"), EPOCH)
    assert top == str(tmp_path / "source" / "demo-1.0")
    modes = {name: stat.S_IMODE((tmp_path / "source" / name).stat().st_mode) for name in names}
    assert modes == {names[0]: 0o644, names[1]: 0o755}
    for folder, _, files in os.walk(top):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
        assert {os.stat(os.path.join(folder, name)).st_mtime for name in (*files, ".")} == {EPOCH}


def test_a_zip_archive_is_unpacked_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sdist", "w") as archive:
        archive.writestr("demo-1.0/setup.py", "")
    top = unpack_sdist(str(tmp_path / "sdist"), "demo-1.0.zip", str(tmp_path / "source"), EPOCH)
    assert os.listdir(top) == ["setup.py"]


def test_links_inside_of_the_sdist_are_kept(tmp_path: Path) -> None:
    members = [entry("demo/a"), entry("demo/b/link", kind=tarfile.SYMTYPE, link="../a")]
    top = unpack_sdist(sdist(tmp_path / "sdist", *members), "demo.tar.gz", str(tmp_path / "source"), EPOCH)
    assert os.readlink(os.path.join(top, "b/link")) == "../a"


@pytest.mark.parametrize(
    "member",
    [
        entry("../evil"),
        entry("/etc/evil"),
        entry("demo/../../evil"),
        entry("demo/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("demo/link", kind=tarfile.SYMTYPE, link="../../x"),
        entry("demo/link", kind=tarfile.LNKTYPE, link="../x"),
        entry("demo/pipe", kind=tarfile.FIFOTYPE),
        entry("demo/device", kind=tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.linkname}".strip(),
)
def test_members_outside_of_the_sdist_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = sdist(tmp_path / "sdist", entry("demo/a"), member)
    with pytest.raises(SystemExit, match=r"^demo\.tar\.gz: "):
        unpack_sdist(archive, "demo.tar.gz", str(tmp_path / "source"), EPOCH)
    assert not (tmp_path / "evil").exists()


def test_the_library_parts_of_a_wheel_are_unpacked(tmp_path: Path) -> None:
    files = {"demo.py": "", "demo-1.0.data/purelib/pure.py": "", "demo-1.0.data/platlib/native.so": ""}
    unpack_wheel(str(make_wheel(tmp_path / "demo.whl", files)), str(tmp_path / "tools"))
    assert {"demo.py", "pure.py", "native.so", "demo-1.0.dist-info"} <= set(os.listdir(tmp_path / "tools"))
