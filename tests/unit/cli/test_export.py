"""`rtbuild export`: the Python packages of a lock for other tools."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.pylock import Pylock

from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.package_index import PackageIndex
from tests.fakes.serving import only_loopback
from tests.fakes.workspaces import put

HERE = ("--platform", "linux/amd64")


def test_export_as_requirements(run: Run, lock: Lock) -> None:
    lines = run("export", "8.0", *HERE).stdout.splitlines()
    assert lines[0].startswith("# release 8.0.0 for linux/amd64, Python 3.9.2")
    assert lines[1:3] == ["apache-airflow==2.6.0 \\", f"    --hash=sha256:{lock.pythons[0].sha256}"]
    assert len(lines) == 1 + 2 * len(lock.pythons)


def test_export_as_pylock(run: Run, lock: Lock) -> None:
    pylock = Pylock.from_dict(tomllib.loads(run("export", "8.0", *HERE, "--format", "pylock", "--no-index").stdout))
    assert [(str(one.name), str(one.version)) for one in pylock.packages] == [
        (one.name, one.version) for one in lock.pythons
    ]
    assert all(one.wheels and one.wheels[0].hashes["sha256"] == lock.pythons[0].sha256 for one in pylock.packages)


def test_a_pylock_needs_an_index_that_has_the_files(
    run: Run, lock: Lock, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_loopback(monkeypatch)
    with PackageIndex() as index:
        put(workspace.root / "rtbuild.toml", f'python_indexes = ["{index.url}"]\n')
        result = run("export", "8.0", *HERE, "--format", "pylock")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "-py3-none-any.whl: no package index has the file\n" in result.stderr
    assert result.stderr.endswith("or export with --no-index\n")


def test_an_export_without_local_packages(run: Run, lock: Lock, workspace: Workspace) -> None:
    local = replace(locks.wheel("gate"), filename="gate-1.0.tar", path="recipes/gate", local=True)
    more = replace(lock, pythons=(*lock.pythons, local), build_pythons=(locks.wheel("setuptools"),))
    write_lock(workspace.lock_path("8.0.0", AMD64), more)
    for form, found in (("requirements", "./recipes/gate"), ("pylock", 'path = "recipes/gate"')):
        command = ("export", "8.0", *HERE, "--format", form, "--no-index")
        assert found in run(*command).stdout
        text = run(*command, "--no-local").stdout
        assert "gate" not in text
        assert "apache-airflow" in text


@pytest.mark.parametrize("form", ["requirements", "pylock"])
def test_an_export_is_the_same_in_json(run: Run, lock: Lock, form: str) -> None:
    text = run("export", "8.0", *HERE, "--format", form, "--no-index").stdout
    document = answer(run("export", "8.0", *HERE, "--format", form, "--no-index", "--json"))
    assert document["format"] == form
    assert document["content"].rstrip("\n") == text.rstrip("\n")


def test_export_writes_into_a_file(run: Run, lock: Lock, tmp_path: Path) -> None:
    result = run("export", "8.0", *HERE, "-o", str(tmp_path / "requirements.txt"))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/requirements.txt: written\n")
    assert (tmp_path / "requirements.txt").read_text() == run("export", "8.0", *HERE).stdout


def test_export_into_a_folder_that_is_a_file(run: Run, lock: Lock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("export", "8.0", *HERE, "-o", str(tmp_path / "file" / "requirements.txt"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: cannot write {tmp_path}/file/requirements.txt: ")
