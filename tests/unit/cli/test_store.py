"""`rtbuild store du`, `verify` and `gc` on small stores."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rtbuild.derivations.plan import plan_release
from rtbuild.lockfile.model import Lock
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer, realise


def test_du_names_every_kind(run: Run, store: Store) -> None:
    document = answer(run("store", "du", "--json"))
    assert document["store"] == str(store.root)
    assert document["bytes"] == store.du()
    lines = run("store", "du").stdout.splitlines()
    assert lines[0] == str(store.root)
    assert lines[-1].startswith("total")


def test_the_store_that_is_named_counts(run: Run, tmp_path: Path) -> None:
    assert answer(run("store", "du", "--store", str(tmp_path / "other"), "--json"))["store"] == str(tmp_path / "other")


def test_looking_makes_nothing(run: Run, lock: Lock, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for words in (["list"], ["plan", "8.0", "--platform", "linux/amd64"], ["store", "du"]):
        assert run(*words, "--store", str(other)).exit_code == 0
    assert "8.0.0 for linux/amd64 is not in" in run("size", "8.0", "--platform", "linux/amd64").stderr
    assert not other.exists()


@pytest.mark.parametrize("command", ["verify", "gc"])
def test_a_store_that_is_misspelt_is_not_made(run: Run, tmp_path: Path, command: str) -> None:
    answered = run("store", command, "--store", str(tmp_path / "sotre"))
    assert answered.exit_code == 1
    assert f"error: there is no store in {tmp_path / 'sotre'}\n" in answered.stderr
    assert not (tmp_path / "sotre").exists()


@pytest.mark.parametrize("words", [["list"], ["store", "du"], ["store", "gc"]])
def test_a_folder_that_is_no_store_is_refused(run: Run, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "mine/tmp").mkdir(parents=True)
    answered = run(*words, "--store", str(tmp_path / "mine"))
    assert answered.exit_code == 1
    assert f"error: {tmp_path / 'mine'} is not a store: it holds other files\n" in answered.stderr
    assert [path.name for path in (tmp_path / "mine").rglob("*")] == ["tmp"]


def test_an_empty_path_is_not_the_current_folder(run: Run) -> None:
    answered = run("store", "du", "--store", "")
    assert answered.exit_code == 2
    assert "error: invalid value for '--store': the path is empty\n" in answered.stderr


@pytest.mark.parametrize("words", [("du",), ("verify",)])
def test_a_command_that_waits_for_garbage_to_be_collected_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    root = Store.open(tmp_path).root
    command = [sys.executable, "-m", "rtbuild", "store", *words, "--store", str(root)]
    with (root / "locks" / "in-use.lock").open("r+") as collector:
        fcntl.flock(collector, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = threading.Timer(30, fcntl.flock, (collector, fcntl.LOCK_UN))  # one that says nothing is not waited for
        done.start()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            told = process.stderr.readline()
            done.cancel()
            fcntl.flock(collector, fcntl.LOCK_UN)
            process.communicate(timeout=60)
    assert told == "waiting for another process to finish collecting garbage in the store\n"
    assert process.returncode == 0


def test_verify_of_a_good_store(run: Run, store: Store) -> None:
    assert run("store", "verify", "-q").stdout == "0 files, 0 B: all intact\n"


def test_verify_names_what_is_damaged(run: Run, store: Store) -> None:
    path = store.artifact_path("a" * 64)  # type: ignore[arg-type]
    path.write_bytes(b"not what its name says")
    result = run("store", "verify", "-q")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"artifacts/{'a' * 64}" in result.stderr
    assert not path.exists()


def test_gc_keeps_what_a_lock_names(run: Run, lock: Lock, workspace: Workspace, store: Store) -> None:
    plan = plan_release(workspace.release("8.0.0"), lock, store)
    realise(store, plan, "airflow")
    for digest in ("a" * 64, "e" * 64):  # the lock's .debs have the first
        store.artifact_path(digest).write_bytes(b"x")  # type: ignore[arg-type]
    del store
    document = answer(run("store", "gc", "-q", "--json"))
    assert document["removed"]["artifact"] == 1
    assert run("store", "gc", "-q").stdout == "nothing to remove\n"


def test_gc_does_not_run_on_a_project_with_a_bad_lock(run: Run, lock: Lock, workspace: Workspace, store: Store) -> None:
    kept = store.artifact_path("e" * 64)  # type: ignore[arg-type]
    kept.write_bytes(b"x")
    workspace.lock_path("8.0.0", AMD64).write_text("version = 99\n")
    result = run("store", "gc", "-q")
    assert result.exit_code == 1
    assert kept.exists()
