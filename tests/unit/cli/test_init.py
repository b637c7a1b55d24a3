"""`rtbuild init`: what it writes, and what it says to go on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.workspace import Workspace
from tests.fakes.command_line import Run, answer


def test_init_says_what_was_written_and_how_to_go_on(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "my weather"
    result = run("init", str(folder), "--debian")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"wrote {folder}",
        "  recipes/engines/default.toml",
        "  recipes/layers/base-os.toml",
        "  recipes/releases/1.0.0.toml",
        "  rtbuild.toml",
        "",
        "next:",
        f"  cd '{folder}'",
        "  rtbuild lock 1.0",
        "  rtbuild engine lock    # only if this machine has no Docker",
        "  rtbuild build 1.0 --load",
    ]


def test_init_in_the_current_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    assert "cd " not in run("init").stdout
    assert Workspace(root=tmp_path / "new").release("1.0").requirements == ("flask", "pip")


def test_init_as_json(run: Run, tmp_path: Path) -> None:
    document = answer(run("init", str(tmp_path / "new"), "--airflow", "--platform", "linux/arm64", "--json"))
    assert document.pop("files")[0] == "recipes/engines/default.toml"
    assert document == {"workspace": str(tmp_path / "new"), "kind": "airflow", "release": "1.0.0"}
    (platform,) = Workspace(root=tmp_path / "new").release("1.0").platforms
    assert str(platform) == "linux/arm64"


@pytest.mark.parametrize(
    ("words", "code", "brief"),
    [
        (["--debian", "--airflow"], 2, "give one of --debian, --python and --airflow"),
        (["--workspace", "elsewhere"], 2, "init makes a workspace: --workspace cannot name one"),
    ],
)
def test_wrong_use(run: Run, tmp_path: Path, words: list[str], code: int, brief: str) -> None:
    result = run("init", str(tmp_path / "new"), *words)
    assert result.exit_code == code
    assert result.stderr.splitlines()[0] == f"error: {brief}"
    assert not (tmp_path / "new").exists()


def test_a_workspace_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    assert run("init", str(tmp_path / "new")).exit_code == 0
    result = run("init", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"error: {tmp_path}/new/recipes: already exists, and nothing is overwritten",
        "hint: choose another folder, or remove it to begin anew",
    ]
