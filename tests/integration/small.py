"""A release of real Debian packages and two small wheels that is built in seconds, for tests that need many builds.

Like 8.0.0 it has a system that is bootstrapped from nothing, a Python layer on top of it and a layer of wheels.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import tomlkit

from rtbuild.digest import sha256_bytes
from rtbuild.lockfile.derived import newest_input
from rtbuild.lockfile.model import DebArtifact, Lock, PythonArtifact
from rtbuild.lockfile.read import write_lock
from rtbuild.workspace import Workspace
from tests.fakes.package_index import make_wheel

VERSION = "1.0.0"

_RELEASE = """
airflow = "2.6.0"
released = "2023-04-30"
python = "3.9"
os = "Debian 11"
as_of = 2023-05-02T00:00:00Z
platforms = ["linux/amd64"]
layers = ["base-os", "python", "airflow"]

[support]
status = "stable"
"""

_AIRFLOW = """
kind = "python"
title = "Something small that is called Airflow"
requirements = ["greeting"]

[image]
on_build = ["RUN python3 -m greeting"]
"""


def write_small_workspace(root: Path, real: Workspace, lock: Lock) -> Workspace:
    """Write the workspace to `root` and its wheels to `root/files`, with a lock whose packages are from `lock`.

    Apart from their packages, the Debian layers are those of the `real` workspace.
    """
    layers = root / "recipes" / "layers"
    shutil.copytree(real.root / "recipes" / "engines", root / "recipes" / "engines")
    shutil.copytree(real.root / "runtime.lock" / "engines", root / "runtime.lock" / "engines")
    shutil.copytree(real.root / "recipes" / "layers" / "base-os", layers / "base-os")
    for name, packages in (("base-os", ["passwd", "tini"]), ("python", ["python3.9"])):
        recipe = tomlkit.parse((real.root / "recipes" / "layers" / f"{name}.toml").read_text())
        recipe["packages"] = packages
        recipe.pop("apt_sources", None)  # the example is a file in the package apt
        (layers / f"{name}.toml").write_text(tomlkit.dumps(recipe))
    (layers / "airflow.toml").write_text(_AIRFLOW)
    release = root / "recipes" / "releases" / f"{VERSION}.toml"
    release.parent.mkdir()
    release.write_text(_RELEASE)

    essential = [deb.name for deb in lock.debs if deb.essential]
    base = closure(lock.debs, [*essential, "passwd", "tini"])
    debs = [
        replace(deb, layer="base-os" if deb in base else "python")
        for deb in closure(lock.debs, [*essential, "passwd", "tini", "python3.9"])
    ]
    pythons = [write_wheel(root / "files", "apache-airflow", "2.6.0", requires=["greeting"])]
    pythons.append(write_wheel(root / "files", "greeting", "1.0"))
    workspace = Workspace.find(root)
    lock_small_project(
        workspace, replace(lock, release=VERSION, debs=tuple(debs), pythons=tuple(pythons), build_pythons=())
    )
    return workspace


def lock_small_project(workspace: Workspace, lock: Lock) -> None:
    """Write `lock` as if it was made from the current recipes of the workspace, with nothing recorded."""
    fresh = replace(
        lock,
        inputs=workspace.release(VERSION).inputs,
        source_date_epoch=newest_input(lock.debs, lock.pythons),
        layers=(),
        image=None,
        image_base=None,
    )
    write_lock(workspace.lock_path(VERSION, lock.platform), fresh)


def closure(debs: Iterable[DebArtifact], names: Sequence[str]) -> list[DebArtifact]:
    """Return the packages called `names` and all their dependencies, in the order of `debs`."""
    by_name = {deb.name: deb for deb in debs}
    chosen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += by_name[name].depends
    return [deb for name, deb in by_name.items() if name in chosen]


def write_wheel(folder: Path, name: str, version: str, *, requires: Sequence[str] = ()) -> PythonArtifact:
    """Write a wheel of one module to `folder` and return its entry in a lock."""
    wheel = make_wheel(name, version, requires=requires)
    folder.mkdir(exist_ok=True)
    (folder / wheel.filename).write_bytes(wheel.content)
    return PythonArtifact(
        filename=wheel.filename,
        path=f"packages/{wheel.filename}",
        size=len(wheel.content),
        sha256=sha256_bytes(wheel.content),
        name=name,
        version=version,
        uploaded=datetime(2023, 4, 1, tzinfo=UTC),
        layer="airflow",
        requires=tuple(requires),
    )
