"""A release whose top layer needs no engine, and stores in which the layers below it are built already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from rtbuild.derivations.plan import plan_release
from rtbuild.formats.frames import DEFAULT
from rtbuild.formats.tar_entry import Entry
from rtbuild.lockfile.read import write_lock
from rtbuild.oci.layer import LayerWriter
from rtbuild.oci.layout import Layout
from rtbuild.progress import Progress
from rtbuild.settings import Settings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs import verify
from rtbuild.verbs.build import open_environment
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64
from tests.fakes.workspaces import RELEASE, put, write_workspace

FILES = """
kind = "files"
title = "Files"

[[directories]]
path = "/srv"
mode = "0775"
gid = 7

[[files]]
path = "/srv/script"
source = "script"
mode = "0755"

[[files]]
path = "/srv/pin.txt"
content = "apache-airflow=={airflow}"

[[links]]
path = "/srv/link"
to = "script"

[image]
on_build = ["USER root"]

[image.labels]
"io.astronomer.docker.runtime.version" = "{version}"
"""


def files_workspace(root: Path) -> Workspace:
    """Write a workspace with a files layer on top of the other layers, and a lock without recorded digests."""
    write_workspace(root, release=RELEASE.replace('"providers"]', '"providers", "files"]'))
    put(root / "recipes/layers/files.toml", FILES)
    put(root / "recipes/layers/files/script", "#!/bin/sh\n")
    workspace = Workspace.find(root)
    recipe = workspace.release("8.0.0")
    versions = (("apache-airflow", "2.6.0", "airflow"), ("pip", "23.1.2", "airflow"))
    providers = ("apache-airflow-providers-http", "4.3.0"), ("apache-airflow-providers-amazon", "8.0.0")
    write_lock(
        workspace.lock_path("8.0.0", AMD64),
        locks.lock(
            inputs=recipe.inputs,
            debs=(
                locks.deb("apt"),
                locks.deb("tini"),
                locks.deb("python3.9", layer="python"),
                locks.deb("python3.9-minimal", layer="python"),
            ),
            pythons=(
                *(locks.wheel(name, version, layer=layer) for name, version, layer in versions),
                *(locks.wheel(name, version) for name, version in (*providers, ("astro-sdk-python", "1.5.3"))),
            ),
            layers=(),
            image=None,
        ),
    )
    return workspace


def fill(workspace: Workspace, store: Store, names: Mapping[str, str] = MappingProxyType({})) -> None:
    """Put every layer except the files layer into the store, as an earlier build would.

    Each has one file, which is named after the layer, or as `names` says.
    """
    layout = Layout.create(store.layout.root)
    recipe = workspace.release("8.0.0")
    lock = workspace.read_lock("8.0.0", AMD64)
    for name in ("base-os", "python", "airflow", "providers"):
        with LayerWriter(layout, compressor=DEFAULT) as writer:
            writer.add(Entry(path=names.get(name, name)))
            digest = writer.finish()
        planned = next(layer for layer in plan_release(recipe, lock, store).layers if layer.name == name)
        assert planned.derivation is not None
        store.record(
            Realisation(
                key=planned.derivation.key,
                release="8.0.0",
                platform="linux/amd64",
                layer=name,
                diff_id=digest.diff_id,
                size=digest.size,
                blob=digest.blob,
                blob_size=digest.blob_size,
                media_type=digest.media_type,
                compressor=digest.compressor,
                inputs=planned.derivation.inputs,
            )
        )


def settings(tmp_path: Path, store: str = "store") -> Settings:
    """Return settings with which no engine can be reached or started."""
    return Settings(store=tmp_path / store, engine_dir=tmp_path / "engine", docker_host="unix:///nowhere/docker.sock")


def let_verify_rebuild(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, names: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Let the store of each verification start with the engine's layers, whose files are named as `fill` says."""

    def opened(workspace: Workspace, settings: Settings, progress: Progress) -> BuildEnvironment:
        environment = open_environment(workspace, settings, progress)
        fill(workspace, environment.store, names)
        return environment

    monkeypatch.setattr(verify, "open_environment", opened)
