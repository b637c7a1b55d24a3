"""`rtbuild lock --check`: which locks are stale, offline."""

from __future__ import annotations

from rtbuild.lockfile.model import Lock
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.workspaces import RELEASE, put

HERE = ("--platform", "linux/amd64")


def test_a_lock_that_fits(run: Run, lock: Lock) -> None:
    result = run("lock", "8.0", "--check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "8.0.0 for linux/amd64: the lock is up to date\n"
    assert answer(run("lock", "--check", "--json")) == {"fresh": [{"release": "8.0.0", "platform": "linux/amd64"}]}


def test_a_lock_that_went_stale(run: Run, lock: Lock, workspace: Workspace) -> None:
    changed = RELEASE.replace('apache-airflow-providers-http = "4.3.0"', 'apache-airflow-providers-http = "4.4.0"')
    put(workspace.root / "recipes" / "releases" / "8.0.0.toml", changed)
    result = run("lock", "8.0", "--check")
    assert (result.exit_code, result.stdout) == (1, "")
    first, *causes, hint = result.stderr.splitlines()
    assert first == "error: the lock is stale"
    assert any("recipes/releases/8.0.0.toml has changed" in cause for cause in causes)
    assert any("apache-airflow-providers-http" in cause and "4.3.0" in cause for cause in causes)
    assert hint == "hint: update with: rtbuild lock 8.0.0 --platform linux/amd64"


def test_a_lock_that_is_not_there(run: Run) -> None:
    result = run("lock", "--check", "--json")
    assert result.exit_code == 1
    assert "there is no lock of 8.0.0 for linux/amd64" in answer(result)["cause"]


def test_a_lock_with_a_wrong_digit(run: Run, lock: Lock, workspace: Workspace) -> None:
    path = workspace.lock_path("8.0.0", AMD64)
    path.write_text(path.read_text().replace("a" * 64, "a" * 63, 1))
    result = run("plan", "8.0", *HERE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "runtime.lock/8.0.0/linux-amd64.toml: deb[0].sha256" in result.stderr
