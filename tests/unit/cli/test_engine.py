"""`rtbuild engine` without starting one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtbuild.lockfile.model import EngineLock
from rtbuild.lockfile.read import write_engine_lock
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.running_engine import running_engine
from tests.fakes.users import require_root


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


def stopped_engine(folder: Path) -> Path:
    """The folder of an engine with a megabyte of programs and two of images."""
    for name, size in (("root/usr/bin/docker", 1_000_000), ("data/blobs/a", 2_000_000)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(bytes(size))
    return folder


def test_the_space_of_a_stopped_engine(run: Run, tmp_path: Path) -> None:
    home = stopped_engine(tmp_path / "engine" / "default")
    first, *rows = run("engine", "du").stdout.splitlines()
    assert first == str(home)
    assert [row.rsplit("  ", 1)[0].rstrip() for row in rows[:3]] == ["what", "programs", "images, containers, cache"]
    assert rows[3] == "- of it build cache        unknown, it is not running"
    assert rows[4].startswith("total                      3.")
    document = answer(run("engine", "du", "--json"))
    assert (document["name"], document["folder"], document["build_cache"]) == ("default", str(home), None)
    assert document["programs"] >= 1_000_000
    assert document["data"] >= 2_000_000
    assert document["total"] >= document["programs"] + document["data"]


def test_the_cache_of_a_running_engine_is_shown_and_pruned(run: Run, tmp_path: Path) -> None:
    require_root()
    with running_engine(tmp_path / "engine") as daemon:
        assert "- of it build cache        3.5 MB\n" in run("engine", "du").stdout
        assert answer(run("engine", "du", "--json"))["build_cache"] == 3_500_000
        assert daemon.posts == []
        pruned = run("engine", "prune")
        assert (pruned.exit_code, pruned.stderr) == (0, "")
        assert pruned.stdout == "removed from engine default: 3.5 MB of build cache, 2.0 MB of images\n"
        assert sorted(daemon.posts) == ["build/prune?all=True", 'images/prune?filters={"dangling": ["true"]}']
        document = answer(run("engine", "prune", "--json"))
        assert document == {"name": "default", "build_cache": 3_500_000, "images": 2_000_000}


def test_an_engine_that_does_not_run_is_not_pruned(run: Run, tmp_path: Path) -> None:
    stopped_engine(tmp_path / "engine" / "default")
    result = run("engine", "prune")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: engine default is not running, so its cache cannot be pruned\n")
    assert answer(run("engine", "prune", "--json"))["exit_code"] == 1


def test_an_engine_is_removed(run: Run, tmp_path: Path) -> None:
    require_root()
    home = stopped_engine(tmp_path / "engine" / "default")
    other = stopped_engine(tmp_path / "engine" / "testing")
    assert run("engine", "remove").stdout == f"engine default: removed ({home})\n"
    assert not home.exists()
    document = answer(run("engine", "remove", "--name", "testing", "--json"))
    assert (document["name"], document["folder"], document["running"]) == ("testing", str(other), False)
    assert not other.exists()
