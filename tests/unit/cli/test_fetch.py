"""What the command line does for a release with a package whose source lies in the recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.lockfile.local import as_locked
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.recipe.sdist import local_sdists
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.packages import FOLDER, MODULE, write_workspace_with_package
from tests.fakes.workspaces import put

HERE = ("--platform", "linux/amd64")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.find(write_workspace_with_package(tmp_path / "project"))


@pytest.fixture
def lock(workspace: Workspace, store: Store) -> Lock:
    """A lock whose files the store has, but for the package's sdist."""
    release = workspace.release("8.0.0")
    (sdist,) = local_sdists(release)
    deb, tool = (
        replace(one, sha256=sha256_bytes(one.filename.encode()), size=len(one.filename))
        for one in (locks.deb("python3.9-minimal", layer="python"), locks.wheel("setuptools", layer=""))
    )
    for one in (deb, tool):
        store.artifact_path(one.sha256).write_text(one.filename)
    lock = locks.lock(
        inputs=release.inputs,
        debs=(deb,),
        pythons=(as_locked(locks.wheel("gate-keeper", "1.0.0", layer="gate"), sdist),),
        build_pythons=(tool,),
        image=None,
        layers=(),
    )
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)
    return lock


def test_fetch_asks_no_mirror_for_it(run: Run, lock: Lock, store: Store) -> None:
    report = answer(run("fetch", "8.0", *HERE, "--json"))
    assert (report["fetched"], report["present"]) == (0, 2)
    assert store.verify_artifact(lock.pythons[0])


def test_fetch_refuses_other_source_than_the_locked_one(run: Run, lock: Lock, workspace: Workspace) -> None:
    put(workspace.root / FOLDER / MODULE, "# nothing\n")
    result = run("fetch", "8.0", *HERE)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"error: gate-keeper: its source in {FOLDER} has changed since the lock of 8.0.0 was made",
        "hint: update it with: rtbuild lock 8.0.0 --platform linux/amd64",
    ]


def test_why_names_its_folder(run: Run, lock: Lock) -> None:
    assert run("why", "8.0", "gate-keeper", *HERE).stdout.splitlines() == [
        "gate-keeper 1.0.0 (python)",
        "layer      gate",
        f"because    local package {FOLDER}",
    ]
