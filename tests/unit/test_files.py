"""Files at a second place: linked where that can be, copied where it cannot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbuild.files import link_file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of another file system."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_is_linked(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("content")
    link_file(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one").samefile(tmp_path / "two")


def test_a_file_is_copied_to_where_no_link_can_lead(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "one").write_text("content")
    (tmp_path / "one").chmod(0o444)
    link_file(tmp_path / "one", elsewhere / "two")
    assert (elsewhere / "two").read_text() == "content"
    assert not (tmp_path / "one").samefile(elsewhere / "two")


def test_what_is_there_stays_and_what_is_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    (tmp_path / "two").write_text("two")
    with pytest.raises(FileExistsError):
        link_file(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "two"
    with pytest.raises(FileNotFoundError):
        link_file(tmp_path / "absent", tmp_path / "three")
