"""A release of four layers and its lock, in memory: two Debian layers, one on the other, and two Python layers."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.derivations.derivation import derive
from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.lockfile.model import DebArtifact, Lock, PythonArtifact
from rtbuild.recipe.model import DebianLayer, Layer, PythonLayer, Release, Removal, Suite
from rtbuild.store.realisation import Realisation
from tests.fakes import locks, releases

BASE = DebianLayer(
    name="base-os",
    title="Debian",
    parent=None,
    suites=(Suite(archive="debian", suite="bullseye"),),
    packages=("apt",),
    removals=(Removal(pattern="/var/log/dpkg.log", reason="dated"),),
)
PYTHON = DebianLayer(name="python", title="Python", parent="base-os", suites=(), packages=("python3.9",))
AIRFLOW = PythonLayer(name="airflow", title="Airflow", roots=("apache-airflow",))
PROVIDERS = PythonLayer(name="providers", title="Providers", roots=())


def release(*layers: Layer) -> Release:
    """Return a release of `layers` (default: the four of this module)."""
    return releases.release(layers=layers or (BASE, PYTHON, AIRFLOW, PROVIDERS))


def deb(
    name: str, version: str = "1.0-1", *, layer: str = "base-os", sha256: str = "a", built: int = 1000
) -> DebArtifact:
    """Return a locked .deb; its digest is the digit `sha256`, repeated."""
    return replace(locks.deb(name, version, layer=layer), sha256=Sha256(sha256 * 64), built=built)


def wheel(name: str, *, layer: str, sha256: str) -> PythonArtifact:
    """Return a locked wheel; its digest is the digit `sha256`, repeated."""
    return replace(locks.wheel(name, layer=layer), sha256=Sha256(sha256 * 64))


def lock(**changed: object) -> Lock:
    """Return the lock of the release with nothing recorded, and with `changed` fields."""
    fields: dict[str, object] = {
        "debs": (
            deb("apt", sha256="1"),
            deb("libc6", sha256="2"),
            deb("python3.9-minimal", "3.9.2-1+deb11u1", layer="python", sha256="3"),
        ),
        "pythons": (
            wheel("apache-airflow", layer="airflow", sha256="4"),
            wheel("celery", layer="providers", sha256="5"),
        ),
        "layers": (),
        "image": None,
        **changed,
    }
    return locks.lock(**fields)


def output(digit: str) -> DiffId:
    """Return the diff ID of a layer: `digit`, repeated."""
    return DiffId(Digest("sha256:" + digit * 64))


def keys(locked: Lock, recipe: Release | None = None) -> dict[str, Key]:
    """Return the key of every layer, with a fixed output for the base layer."""
    recipe = recipe or release()
    outputs = {"base-os": output("b")}
    derivations = [derive(recipe, locked, layer, outputs) for layer in recipe.layers]
    return {derivation.layer.name: derivation.key for derivation in derivations if derivation}


def changed(before: dict[str, Key], after: dict[str, Key]) -> set[str]:
    """Return the names of the layers whose keys differ."""
    return {name for name in before if before[name] != after[name]}


def realised(recipe: Release, locked: Lock, layer: Layer, diff_id: DiffId, parent: DiffId | None = None) -> Realisation:
    """Return the record of a layer that was built on the base layer `parent`."""
    derivation = derive(recipe, locked, layer, {"base-os": parent} if parent else {})
    assert derivation is not None
    return Realisation(
        key=derivation.key,
        release="8.0.0",
        platform="linux/amd64",
        layer=layer.name,
        diff_id=diff_id,
        size=1,
        blob=Digest(diff_id),
        blob_size=1,
        media_type="",
        compressor="zstd 1",
        inputs=derivation.inputs,
    )
