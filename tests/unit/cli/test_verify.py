"""`rtbuild verify` on a release that needs no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import Run, answer
from tests.fakes.files_release import files_workspace, fill, let_verify_rebuild

HERE = ("--platform", "amd64")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return files_workspace(tmp_path / "project")


def test_verify_of_an_equal_rebuild(
    run: Run, workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, store)
    assert run("build", "8.0", *HERE, "--record").exit_code == 0
    let_verify_rebuild(monkeypatch, workspace)
    result = run("verify", "8.0", *HERE, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("\nreproducible\n")
    assert answer(run("verify", "8.0", *HERE, "-q", "--json"))["reproducible"] is True


def test_verify_names_the_files_that_differ(
    run: Run, workspace: Workspace, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, store)
    assert run("build", "8.0", *HERE, "--record").exit_code == 0
    let_verify_rebuild(monkeypatch, workspace, {"python": "other"})
    result = run("verify", "8.0", *HERE, "--report", str(tmp_path / "report"))
    assert result.exit_code == 3
    assert "  /other  added" in result.stdout
    assert "NOT REPRODUCIBLE:\n  layer python" in result.stdout
    assert (tmp_path / "report" / "report.txt").read_text() == result.stdout


def test_one_report_is_for_one_platform(run: Run, tmp_path: Path) -> None:
    result = run("verify", "8.0", "--platform", "amd64,arm64", "--report", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--report holds one report" in result.stderr
