"""The sdist of a local package: the same bytes, whoever makes it and wherever."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from rtbuild.recipe.model import Release
from rtbuild.recipe.read import read_release
from rtbuild.recipe.sdist import LocalSdist, local_sdists
from tests.fakes.packages import FOLDER, MODULE, write_workspace_with_package

AS_OF = 1682985600


def sdist(root: Path) -> LocalSdist:
    (made,) = local_sdists(read_release(root, "8.0.0"))
    return made


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return read_release(write_workspace_with_package(tmp_path / "workspace"), "8.0.0")


def test_its_bytes_are_fixed(release: Release) -> None:
    """Another digest makes every lock with a local package stale."""
    (made,) = local_sdists(release)
    assert made.filename == "gate_keeper-1.0.0.tar"
    assert (made.size, made.uploaded) == (len(made.content), release.as_of)
    assert made.sha256 == "50da93c2560182aeefef3dc394da86312a27994bbb0bd474917d6511379b8b9d"


def test_its_content(release: Release) -> None:
    (made,) = local_sdists(release)
    with tarfile.open(fileobj=io.BytesIO(made.content)) as archive:
        members = archive.getmembers()
    assert [(member.name, oct(member.mode)) for member in members] == [
        ("gate_keeper-1.0.0/PKG-INFO", "0o644"),
        ("gate_keeper-1.0.0/README.md", "0o644"),
        ("gate_keeper-1.0.0/pyproject.toml", "0o644"),
        ("gate_keeper-1.0.0/src/gate_keeper/__init__.py", "0o644"),
        ("gate_keeper-1.0.0/src/gate_keeper/data/bell", "0o755"),
    ]
    owners = {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members}
    assert owners == {(AS_OF, 0, 0, "", "")}


def test_its_metadata_says_what_it_requires(release: Release) -> None:
    (made,) = local_sdists(release)
    with tarfile.open(fileobj=io.BytesIO(made.content)) as archive:
        metadata = archive.extractfile("gate_keeper-1.0.0/PKG-INFO")
        assert metadata is not None
        lines = metadata.read().decode().splitlines()
    assert lines == [
        "Metadata-Version: 2.2",
        "Name: gate-keeper",
        "Version: 1.0.0",
        "Requires-Python: >=3.9",
        "Requires-Dist: spam>=1",
        "Requires-Dist: lantern",
        "Provides-Extra: night",
        'Requires-Dist: owl; (os_name == "posix") and extra == "night"',
    ]


def test_place_times_modes_and_leftovers_do_not_change_it(tmp_path: Path) -> None:
    first = write_workspace_with_package(tmp_path / "one")
    other = tmp_path / "somewhere" / "else"
    shutil.copytree(first, other)
    for path in sorted((other / FOLDER).rglob("*")):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
    (other / FOLDER / "src/gate_keeper/__pycache__/new.pyc").write_bytes(b"\x00")
    assert sdist(other).content == sdist(first).content


@pytest.mark.parametrize("change", ["content", "mode", "new file", "moment"])
def test_what_changes_it(tmp_path: Path, change: str) -> None:
    root = write_workspace_with_package(tmp_path)
    before = sdist(root)
    module = root / FOLDER / MODULE
    match change:
        case "content":
            module.write_text("# nothing\n")
        case "mode":
            module.chmod(0o755)
        case "new file":
            module.with_name("new.py").write_text("")
        case "moment":
            release = root / "recipes/releases/8.0.0.toml"
            release.write_text(release.read_text().replace("2023-05-02T", "2023-05-03T"))
    assert sdist(root).sha256 != before.sha256
