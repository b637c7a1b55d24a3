"""The security manager, whose source lies in the recipes: the same wheel and the same layer wherever they are made."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rtbuild.derivations.derivation import derive
from rtbuild.derivations.plan import PlannedLayer
from rtbuild.engine.engine import Engine
from rtbuild.formats.frames import open_uncompressed
from rtbuild.layers.python import realise_python
from rtbuild.lockfile.local import as_locked
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.oci.layer import LayerDigest
from rtbuild.recipe.layers import read_layer
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.recipe.sdist import local_sdists
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.wheels.local import store_local
from rtbuild.wheels.toolroot import tool_debs
from rtbuild.workspace import Workspace
from tests.fakes.environments import environment
from tests.integration.command_line import artifacts_of, lend
from tests.integration.told import Told

pytestmark = pytest.mark.integration

LAYER = "security-manager"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one build gave: the layer, the wheels that it made of sdists, and where the layer's blob is."""

    version: str
    digest: LayerDigest
    wheels: list[bytes]
    blob: Path


def release_of(root: Path, real: Release) -> tuple[Release, PythonLayer]:
    """`real` with the security manager of the recipes at `root` as its only Python layer."""
    layer = read_layer(root, LAYER).layer
    assert isinstance(layer, PythonLayer)
    return replace(real, layers=(*real.debian_layers, layer)), layer


def make(root: Path, real: Release, whole: Lock, source: Store, folder: Path, engine: Engine, jobs: int) -> Made:
    """Build the layer from the recipes at `root` in a new store in `folder`."""
    release, layer = release_of(root, real)
    (sdist,) = local_sdists(release)
    package = as_locked(
        PythonArtifact(
            filename="",
            path="",
            size=0,
            sha256=sdist.sha256,
            name=sdist.package.name,
            version=sdist.package.version,
            uploaded=release.as_of,
            layer=LAYER,
        ),
        sdist,
    )
    lock = replace(whole, pythons=(package,), debs=tool_debs(whole.debs))
    store = lend(artifacts_of(lock), source, folder)
    store_local(release, lock, store)
    made_in = environment(store, engine, jobs=jobs, progress=Told())
    planned = PlannedLayer(
        name=LAYER,
        state="build",
        reason="",
        layer=layer,
        derivation=derive(release, lock, layer, {}),
        realisation=None,
    )
    ((_, digest),) = realise_python(release, lock, [planned], made_in)
    wheels = [path.read_bytes() for path in store.trees.glob("*.whl")]
    return Made(version=package.version, digest=digest, wheels=wheels, blob=made_in.layout.blob_path(digest.blob))


@pytest.fixture
def other_umask() -> Iterator[None]:
    old = os.umask(0o077)
    yield
    os.umask(old)


@pytest.fixture(scope="module")
def source(lock: Lock, settings: Settings) -> Store:
    """A store with Python's packages and what builds an sdist."""
    store = Store.open(settings.store)
    fetch_artifacts([*tool_debs(lock.debs), *lock.build_pythons], store, settings)
    return store


@pytest.fixture(scope="module")
def first(
    workspace: Workspace, lock: Lock, source: Store, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    folder = tmp_path_factory.mktemp("first") / "store"
    return make(workspace.root, workspace.release("8.0.0"), lock, source, folder, engine, 2)


def test_the_layer_is_the_same_from_another_copy_in_another_store(
    workspace: Workspace, lock: Lock, source: Store, engine: Engine, first: Made, tmp_path: Path, other_umask: None
) -> None:
    """Another checkout, whose files are newer, unreadable for others and among what tools leave behind."""
    root = tmp_path / "another project"
    shutil.copytree(workspace.root / "recipes", root / "recipes", copy_function=shutil.copyfile)
    package = root / "recipes" / "layers" / LAYER / "package"
    (package / "build").mkdir()
    (package / ".tool").write_text("left over")
    second = make(root, workspace.release("8.0.0"), lock, source, tmp_path / "store", engine, 1)
    assert len(first.wheels) == 1
    assert second.wheels == first.wheels
    assert second.digest == first.digest
    assert second.blob.read_bytes() == first.blob.read_bytes()


def test_the_layer_holds_the_package_and_its_configuration(first: Made) -> None:
    with open_uncompressed(first.blob) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        members = {one.name for one in archive}
    library = "usr/local/lib/python3.9/dist-packages"
    module = f"{library}/rtbuild_security_manager"
    assert {f"{module}/__init__.py", f"{module}/__pycache__/__init__.cpython-39.pyc"} <= members
    assert f"{module}-{first.version}.dist-info/METADATA" in members
    assert "usr/local/airflow/webserver_config.py" in members
    # Folders of the layers below stay what those say of them.
    assert {library, "usr/local/lib", "usr/local/airflow", "usr"}.isdisjoint(members)
