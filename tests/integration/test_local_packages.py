"""The security manager, a local package of the recipes: the same wheel and layer wherever they are built."""

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
class BuiltLayer:
    """The result of a build: the version of the package, the layer and its blob, and the wheels built from sdists."""

    version: str
    digest: LayerDigest
    wheels: list[bytes]
    blob: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What all builds have in common: 8.0.0, its lock, a store with the artifacts, and the engine."""

    release: Release
    lock: Lock
    source: Store
    engine: Engine


def release_of(root: Path, real: Release) -> tuple[Release, PythonLayer]:
    """Return `real` with the security manager of the recipes at `root` as its only Python layer."""
    layer = read_layer(root, LAYER).layer
    assert isinstance(layer, PythonLayer)
    return replace(real, layers=(*real.debian_layers, layer)), layer


def build_layer(target: Target, root: Path, folder: Path, *, jobs: int) -> BuiltLayer:
    """Build the layer from the recipes at `root` in a new store in `folder`."""
    release, layer = release_of(root, target.release)
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
    lock = replace(target.lock, pythons=(package,), debs=tool_debs(target.lock.debs))
    store = lend(artifacts_of(lock), target.source, folder)
    store_local(release, lock, store)
    built_in = environment(store, target.engine, jobs=jobs, progress=Told())
    planned = PlannedLayer(
        name=LAYER,
        state="build",
        reason="",
        layer=layer,
        derivation=derive(release, lock, layer, {}),
        realisation=None,
    )
    ((_, digest),) = realise_python(release, lock, [planned], built_in)
    wheels = [path.read_bytes() for path in store.trees.glob("*.whl")]
    return BuiltLayer(
        version=package.version, digest=digest, wheels=wheels, blob=built_in.layout.blob_path(digest.blob)
    )


@pytest.fixture
def other_umask() -> Iterator[None]:
    old = os.umask(0o077)
    yield
    os.umask(old)


@pytest.fixture(scope="module")
def target(workspace: Workspace, lock: Lock, settings: Settings, engine: Engine) -> Target:
    """8.0.0, with the packages of Python and the build requirements of sdists in the store of the settings."""
    store = Store.open(settings.store)
    fetch_artifacts([*tool_debs(lock.debs), *lock.build_pythons], store, settings)
    return Target(release=workspace.release("8.0.0"), lock=lock, source=store, engine=engine)


@pytest.fixture(scope="module")
def first(workspace: Workspace, target: Target, tmp_path_factory: pytest.TempPathFactory) -> BuiltLayer:
    return build_layer(target, workspace.root, tmp_path_factory.mktemp("first") / "store", jobs=2)


def test_the_layer_is_the_same_from_another_checkout_in_another_store(
    workspace: Workspace, target: Target, first: BuiltLayer, tmp_path: Path, other_umask: None
) -> None:
    """In the other checkout, files are newer, not readable by others, and next to files that tools left."""
    root = tmp_path / "another workspace"
    shutil.copytree(workspace.root / "recipes", root / "recipes", copy_function=shutil.copyfile)
    package = root / "recipes" / "layers" / LAYER / "package"
    (package / "build").mkdir()
    (package / ".tool").write_text("left over")
    second = build_layer(target, root, tmp_path / "store", jobs=1)
    assert len(first.wheels) == 1
    assert second.wheels == first.wheels
    assert second.digest == first.digest
    assert second.blob.read_bytes() == first.blob.read_bytes()


def test_the_layer_holds_the_package_and_its_configuration(first: BuiltLayer) -> None:
    with open_uncompressed(first.blob) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        members = {member.name for member in archive}
    library = "usr/local/lib/python3.9/dist-packages"
    module = f"{library}/rtbuild_security_manager"
    assert {f"{module}/__init__.py", f"{module}/__pycache__/__init__.cpython-39.pyc"} <= members
    assert f"{module}-{first.version}.dist-info/METADATA" in members
    assert "usr/local/airflow/webserver_config.py" in members
    # Every folder above, which Docker's classic store and podman would make anew.
    assert {library, "usr/local/lib", "usr/local/airflow", "usr"} <= members
