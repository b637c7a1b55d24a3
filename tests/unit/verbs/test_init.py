"""Writing a new workspace: what is written, and that nothing is overwritten or left behind."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

import rtbuild
from rtbuild.errors import RecipeError, UsageError
from rtbuild.platform import PLATFORMS, host_platform
from rtbuild.recipe.templates import WorkspaceKind
from rtbuild.settings import load_settings
from rtbuild.verbs.init import init


def test_a_workspace_is_written_into_a_new_folder(tmp_path: Path) -> None:
    result = rtbuild.init(tmp_path / "teams" / "weather")
    root = result.workspace.root
    assert root == tmp_path / "teams" / "weather"
    assert (result.kind, result.release) == ("python", "1.0.0")
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == [*result.files]
    release = result.workspace.release("1.0")
    assert release.platforms == (host_platform(),)
    assert timedelta(0) <= datetime.now(UTC) - release.as_of < timedelta(minutes=5)
    assert load_settings({}, root).repository == "weather"
    assert {path.stat().st_mode & 0o777 for path in root.iterdir() if path.is_dir()} == {0o777 & ~_umask()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    init(tmp_path, kind="debian", platform=PLATFORMS["linux/arm64"])
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "recipes", "rtbuild.toml"}
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "repository"), [("My Team_2", "my-team-2"), ("-", "image"), ("a..b", "a-b"), ("Straße", "stra-e")]
)
def test_images_are_called_after_the_folder(tmp_path: Path, name: str, repository: str) -> None:
    assert load_settings({}, init(tmp_path / name).workspace.root).repository == repository


@pytest.mark.parametrize("name", ["recipes", "rtbuild.toml"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(RecipeError) as caught:
        init(tmp_path)
    assert caught.value.brief == f"{tmp_path / name}: already exists, and nothing is overwritten"
    assert caught.value.hint == "choose another folder, or remove it to begin anew"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_written_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str, **options: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RecipeError) as caught:
        init(tmp_path)
    assert caught.value.brief == f"{tmp_path}: cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="cannot be written: "):
        init(tmp_path / "file")


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        init(tmp_path / "new", kind=cast(WorkspaceKind, "ruby"))
    assert (caught.value.brief, caught.value.hint) == ("unknown kind 'ruby'", "known kinds: debian, python, airflow")
    assert not (tmp_path / "new").exists()
