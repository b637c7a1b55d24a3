"""`rtbuild engine` without starting one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtbuild.lockfile.model import EngineLock
from rtbuild.lockfile.read import write_engine_lock
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64, Run, answer


def test_engine_status_where_there_is_none(run: Run, tmp_path: Path) -> None:
    document = answer(run("engine", "status", "--json"))
    assert (document["name"], document["running"], document["pid"]) == ("default", False, None)
    assert "not running" in run("engine", "status").stdout


def test_engine_that_there_is_not(run: Run, workspace: Workspace) -> None:
    for verb in ("start", "status", "stop", "lock"):
        result = run("engine", verb, "--name", "nope")
        assert result.exit_code == 1
        assert "recipes/engines/nope.toml" in result.stderr
        assert result.stderr.endswith("hint: known engines: default\n")


def test_the_lock_of_an_engine_is_checked(run: Run, workspace: Workspace) -> None:
    path = workspace.engine_lock_path("default", AMD64)
    arguments = ("engine", "lock", "--check", "--platform", "linux/amd64")
    assert "rtbuild engine lock --name default --platform linux/amd64" in run(*arguments).stderr
    deb = replace(locks.deb("runc"), layer="engine")
    inputs = workspace.engine("default").inputs
    lock = EngineLock(engine="default", platform=AMD64, inputs=inputs, debs=(deb,), suites=(locks.suite(),))
    write_engine_lock(path, lock)
    assert run(*arguments).stdout == "runtime.lock/engines/default/linux-amd64.toml: the lock is up to date\n"
    recipe = workspace.root / "recipes/engines/default.toml"
    recipe.write_text(recipe.read_text() + '\n[[suite]]\narchive = "debian"\nsuite = "sid"\n')
    result = run(*arguments)
    assert result.exit_code == 1
    assert "linux-amd64.toml: stale, its recipe changed since it was made\n" in result.stderr
