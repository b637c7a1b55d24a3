"""`lock --check`, `why` and `export`: what the command line says of a lock, without any network."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from packaging.pylock import Pylock

from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.patched import as_patched
from rtbuild.lockfile.read import write_lock
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.patches import RECORD, write_patch
from tests.fakes.workspaces import RELEASE, put

HERE = ("--platform", "linux/amd64")


def test_a_lock_that_fits(run: Run, lock: Lock) -> None:
    result = run("lock", "8.0", "--check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "8.0.0 for linux/amd64: the lock fits its recipes\n"
    assert answer(run("lock", "--check", "--json")) == {"fresh": [{"release": "8.0.0", "platform": "linux/amd64"}]}


def test_a_lock_that_went_stale(run: Run, lock: Lock, workspace: Workspace) -> None:
    changed = RELEASE.replace('apache-airflow-providers-http = "4.3.0"', 'apache-airflow-providers-http = "4.4.0"')
    put(workspace.root / "recipes" / "releases" / "8.0.0.toml", changed)
    result = run("lock", "8.0", "--check")
    assert (result.exit_code, result.stdout) == (1, "")
    first, *causes, hint = result.stderr.splitlines()
    assert first == "error: the lock no longer fits the recipes"
    assert any("recipes/releases/8.0.0.toml has changed" in cause for cause in causes)
    assert any("apache-airflow-providers-http" in cause and "4.3.0" in cause for cause in causes)
    assert hint == "hint: make it again with: rtbuild lock 8.0.0 --platform linux/amd64"


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
    assert "patched    more (not in the recipes any more)\n" in text


def test_why_what_is_asked_for_itself(run: Run, lock: Lock) -> None:
    (need,) = answer(run("why", "8.0", "tini", *HERE, "--json"))["needs"]
    assert (need["origin"], need["chain"], need["needed_by"]) == ("recipe layer base-os", ["tini"], [])


def test_why_what_is_not_there(run: Run, lock: Lock) -> None:
    result = run("why", "8.0", "emacs", *HERE)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: the lock of 8.0.0 for linux/amd64 has no package 'emacs'",
        "hint: see the lockfile for the names of all locked packages",
    ]


def test_export_as_requirements(run: Run, lock: Lock) -> None:
    lines = run("export", "8.0", *HERE).stdout.splitlines()
    assert lines[0].startswith("# release 8.0.0 for linux/amd64, Python 3.9.2")
    assert lines[1:3] == ["apache-airflow==2.6.0 \\", f"    --hash=sha256:{lock.pythons[0].sha256}"]
    assert len(lines) == 1 + 2 * len(lock.pythons)


def test_export_as_pylock(run: Run, lock: Lock) -> None:
    pylock = Pylock.from_dict(tomllib.loads(run("export", "8.0", *HERE, "--format", "pylock").stdout))
    assert [(str(one.name), str(one.version)) for one in pylock.packages] == [
        (one.name, one.version) for one in lock.pythons
    ]
    assert all(one.wheels and one.wheels[0].hashes["sha256"] == lock.pythons[0].sha256 for one in pylock.packages)


@pytest.mark.parametrize("form", ["requirements", "pylock"])
def test_an_export_is_the_same_in_json(run: Run, lock: Lock, form: str) -> None:
    text = run("export", "8.0", *HERE, "--format", form).stdout
    document = answer(run("export", "8.0", *HERE, "--format", form, "--json"))
    assert document["format"] == form
    assert document["content"].rstrip("\n") == text.rstrip("\n")
