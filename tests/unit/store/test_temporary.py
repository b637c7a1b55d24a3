"""Temporary folders of a store."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from rtbuild.store import temporary
from rtbuild.store.files import remove_tree
from rtbuild.store.store import Store
from rtbuild.store.temporary import TEMPORARY, remove_leftovers, temporary_folder


def test_a_temporary_folder_is_removed_when_its_work_ends(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.temporary("layer") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "file").touch()
        (folder / "deep").chmod(0o500)
        Store.open(tmp_path)
        assert (folder / "deep").is_dir(), "another open leaves it alone"
    assert list((tmp_path / TEMPORARY).iterdir()) == []
    with pytest.raises(ZeroDivisionError), store.temporary("layer"):
        raise ZeroDivisionError
    assert list((tmp_path / TEMPORARY).iterdir()) == []


def test_only_folders_that_nobody_holds_are_removed(tmp_path: Path) -> None:
    (tmp_path / "left" / "inside").mkdir(parents=True)
    (tmp_path / "left.lock").touch()
    (tmp_path / "alone.lock").touch()
    with temporary_folder(tmp_path, "held") as folder:
        remove_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_a_folder_that_a_program_still_writes_to_is_removed(tmp_path: Path) -> None:
    # The shell ends when it cannot write any more.
    write = "n=0; while :; do n=$((n + 1)); : > $0/$n; done"
    with temporary_folder(tmp_path, "build") as folder:
        writer = subprocess.Popen(["timeout", "0.5", "sh", "-c", write, str(folder)], stderr=subprocess.DEVNULL)
        while len(list(folder.iterdir())) < 500 and writer.poll() is None:
            time.sleep(0.001)
    writer.wait()
    assert list(tmp_path.iterdir()) == []


def test_a_removal_is_tried_again_however_long_the_first_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def remove_slowly(folder: Path) -> None:
        tries.append(folder)
        if len(tries) == 1:
            time.sleep(0.02)
            raise OSError("directory not empty")
        remove_tree(folder)

    monkeypatch.setattr(temporary, "_PATIENCE", 0.01)
    monkeypatch.setattr(temporary, "remove_tree", remove_slowly)
    with temporary_folder(tmp_path, "build"):
        pass
    assert list(tmp_path.iterdir()) == []
