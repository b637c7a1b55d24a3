"""The examples of the library, run as a user runs them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rtbuild.digest import Sha256
from rtbuild.lockfile.read import write_lock
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64
from tests.fakes.files_release import files_workspace, fill
from tests.fakes.workspaces import put

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return files_workspace(tmp_path / "project")


def example(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def requirements(name: str) -> list[str]:
    """Return the lines of a file of the example project, without comments."""
    lines = (EXAMPLES / "project" / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_project_adds_packages_that_its_image_does_not_have() -> None:
    """Otherwise it proves nothing about the installation of a project's packages."""
    lock = Workspace.find(EXAMPLES.parent).read_lock("8.0.0", AMD64)
    pythons = {canonicalize_name(Requirement(line).name) for line in requirements("requirements.txt")}
    debs = set(requirements("packages.txt"))
    assert pythons
    assert debs
    assert not pythons & {python.name for python in lock.pythons}
    assert not debs & {deb.name for deb in lock.debs}


def arguments_of(workspace: Workspace, tmp_path: Path) -> list[str]:
    return ["8.0", "--platform", "amd64", "--workspace", str(workspace.root), "--store", str(tmp_path / "store")]


def test_build_and_list(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    fill(workspace, Store.open(tmp_path / "store"))
    # A lock without recorded digests has nothing to match.
    assert example("build_and_list").main(arguments_of(workspace, tmp_path)) == 3
    out, err = capsys.readouterr()
    assert "[ ] layer files\n[x] layer files: built\n" in err
    lock = workspace.read_lock("8.0.0", AMD64)
    assert out.splitlines()[:-1] == [
        *(f"{deb.sha256}  {deb.name}=={deb.version}" for deb in lock.debs),
        *(f"{python.sha256}  {python.name}=={python.version}" for python in lock.pythons),
    ]


def test_build_and_list_catches_errors(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_and_list = example("build_and_list")
    put(workspace.root / "recipes/layers/files/script", "#!/bin/bash\n")
    assert build_and_list.main(arguments_of(workspace, tmp_path)) == 2
    assert "recipes/layers/files/script" in capsys.readouterr().err
    assert build_and_list.main(["9.9", *arguments_of(workspace, tmp_path)[1:]]) == 1
    assert "RecipeError: unknown release '9.9'\ntry this: " in capsys.readouterr().err


def test_compare_locks(tmp_path: Path) -> None:
    before = locks.lock()
    pip = replace(locks.wheel("pip", "2.0", layer="airflow"), sha256=Sha256("d" * 64))
    after = replace(before, pythons=(*before.pythons[:-1], pip))
    for name, lock in (("before", before), ("after", after)):
        write_lock(tmp_path / f"{name}.toml", lock)

    def run(*files: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLES / "compare_locks.py"), *(str(tmp_path / file) for file in files)]
        environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    differing = run("before.toml", "after.toml")
    assert (differing.returncode, differing.stderr) == (1, "")
    assert differing.stdout == "~ pip 1.0 -> 2.0 (python)\n0 added, 0 removed, 1 changed\n"
    assert run("before.toml", "before.toml").returncode == 0
    missing = run("before.toml", "nowhere.toml")
    assert missing.returncode == 2
    assert "nowhere.toml" in missing.stderr
