"""`rtbuild why`: why a lock holds a package."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.patched import as_patched
from rtbuild.lockfile.read import write_lock
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.patches import RECORD, write_patch
from tests.fakes.workspaces import RELEASE, put

HERE = ("--platform", "linux/amd64")


def test_why_a_python_package(run: Run, lock: Lock) -> None:
    result = run("why", "8.0", "Requests", *HERE)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "requests 2.29.0 (python)",
        "layer      providers",
        "because    the release's requirements: apache-airflow-providers-amazon -> requests",
        "needed by  apache-airflow-providers-amazon, apache-airflow-providers-http",
    ]


def test_why_a_debian_package(run: Run, lock: Lock) -> None:
    (need,) = answer(run("why", "8.0", "python3.9-minimal", *HERE, "--json"))["needs"]
    assert need == {
        "kind": "deb",
        "name": "python3.9-minimal",
        "version": "3.9.2-1",
        "layer": "python",
        "origin": "recipe layer python",
        "chain": ["python3.9", "python3.9-minimal"],
        "needed_by": ["python3.9"],
        "patches": [],
    }


def test_why_a_patched_package(run: Run, lock: Lock, workspace: Workspace) -> None:
    put(workspace.root / "recipes" / "releases" / "8.0.0.toml", 'patches = ["more", "again"]\n' + RELEASE)
    write_patch(workspace.root, "more")
    write_patch(workspace.root, "again", RECORD.replace("More", "Even more"))
    release = workspace.release("8.0")
    patched = replace(lock, inputs=release.inputs, pythons=as_patched(lock.pythons, release))
    write_lock(workspace.lock_path("8.0.0", AMD64), patched)
    assert run("why", "8.0", "apache-airflow-providers-http", *HERE).stdout.splitlines() == [
        "apache-airflow-providers-http 4.3.0+astro.2 (python)",
        "layer      providers",
        "patched    more (product): More requests at once",
        "patched    again (product): Even more requests at once",
        "because    the release's requirements",
    ]
    assert run("lock", "8.0", "--check").exit_code == 0
    put(workspace.root / "recipes" / "releases" / "8.0.0.toml", RELEASE)
    text = run("why", "8.0", "apache-airflow-providers-http", *HERE).stdout
    assert "patched    more (no longer in the recipes)\n" in text


def test_why_what_is_asked_for_itself(run: Run, lock: Lock) -> None:
    (need,) = answer(run("why", "8.0", "tini", *HERE, "--json"))["needs"]
    assert (need["origin"], need["chain"], need["needed_by"]) == ("recipe layer base-os", ["tini"], [])


def test_why_what_is_not_there(run: Run, lock: Lock) -> None:
    result = run("why", "8.0", "emacs", *HERE)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: the lock of 8.0.0 for linux/amd64 has no package 'emacs'",
        "hint: see the lockfile for the names of all locked packages",
    ]
