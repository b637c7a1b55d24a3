"""How much space a private engine uses, and removing it. `tests/integration/test_engine.py` tries one that runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.engine import private, usage
from rtbuild.errors import EngineError
from tests.fakes.engine_packages import engine_packages
from tests.fakes.users import open_folder, require_root, somebody

MEBIBYTE = 1 << 20


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a stopped engine with a mebibyte of programs and two of images."""
    home = tmp_path / "default"
    for name, size in (("root/usr/bin/docker", 1), ("data/blobs/a", 2)):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_bytes(os.urandom(size * MEBIBYTE))
    os.link(home / "data/blobs/a", home / "data/blobs/b")
    return home


def test_each_file_counts_once(home: Path) -> None:
    found = usage.usage(home.parent)
    assert MEBIBYTE <= found.programs < 1.1 * MEBIBYTE
    assert 2 * MEBIBYTE <= found.data < 2.1 * MEBIBYTE
    assert found.programs + found.data <= found.total < 3.1 * MEBIBYTE
    assert found.build_cache is None


def test_an_engine_that_was_never_started_uses_nothing(tmp_path: Path) -> None:
    found = usage.usage(tmp_path / "engines")
    assert (found.programs, found.data, found.total) == (0, 0, 0)
    assert not (tmp_path / "engines").exists()


def test_only_a_running_engine_can_be_pruned(home: Path) -> None:
    with pytest.raises(EngineError, match="engine default is not running") as caught:
        usage.prune(home.parent)
    assert caught.value.hint is not None
    assert "rtbuild engine remove" in caught.value.hint


def test_a_removed_engine_is_gone(home: Path) -> None:
    require_root()
    assert usage.remove(home.parent).folder == home
    assert not home.exists()
    usage.remove(home.parent)


def test_an_engine_that_was_started_is_removed_whole(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", "exit 1")
    with pytest.raises(EngineError):
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    assert (tmp_path / "engines/default/root").is_dir()
    usage.remove(tmp_path / "engines")
    assert list((tmp_path / "engines").iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(home: Path) -> None:
    (home / "thesis.tex").touch()
    with pytest.raises(EngineError, match=r"holds what is not part of an engine: thesis\.tex"):
        usage.remove(home.parent)
    assert (home / "data/blobs/a").exists()


def test_removing_needs_root() -> None:
    with open_folder() as folder:
        (folder / "default/root").mkdir(parents=True)
        with somebody(), pytest.raises(EngineError, match="only root can remove a private engine"):
            usage.remove(folder)
        assert (folder / "default/root").exists()
