"""A machine without Docker, and a workspace with the lock of a private engine whose daemon exits at once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rtbuild.lockfile.model import DebArtifact
from rtbuild.lockfile.read import write_engine_lock
from rtbuild.platform import host_platform
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.engine_packages import engine_packages
from tests.fakes.workspaces import ENGINE, put, write_workspace

MOMENT = "20230501T000000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The engine's one package is in the dated archive of a mirror; `programs` is a PATH without docker."""

    workspace: Workspace
    package: DebArtifact
    mirror: Path
    programs: Path
    settings: Settings
    store: Store


def make_machine(folder: Path) -> Machine:
    """Write the machine's files into `folder`."""
    programs = folder / "programs"
    programs.mkdir()
    for program in ("env", "sh", "cat"):
        (programs / program).symlink_to(shutil.which(program) or "")
    root = write_workspace(folder / "workspace")
    put(
        root / "recipes/engines/default.toml",
        ENGINE.replace('suite = "trixie"', f'suite = "trixie"\nsnapshot = "{MOMENT}"'),
    )
    workspace = Workspace.find(root)
    lock, files = engine_packages(folder / "made", "exit 1")
    (package,) = (replace(deb, suite="trixie", layer="engine", built=1) for deb in lock.debs)
    write_engine_lock(
        workspace.engine_lock_path("default", host_platform()),
        replace(lock, inputs=workspace.engine("default").inputs, debs=(package,), suites=(locks.suite("trixie"),)),
    )
    mirror = folder / "mirror"
    place = mirror / MOMENT / package.path
    place.parent.mkdir(parents=True)
    files[package.sha256].rename(place)
    settings = Settings(
        store=folder / "store",
        engine_dir=folder / "engines",
        debian_mirrors=(str(mirror),),
        retries=0,
    )
    return Machine(
        workspace=workspace,
        package=package,
        mirror=mirror,
        programs=programs,
        settings=settings,
        store=Store.open(settings.store),
    )
