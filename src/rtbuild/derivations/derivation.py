"""A layer's complete inputs, hashed: same key, same layer.

A key holds digests of inputs and nothing of the machine: no host, path, user, time, engine or BuildKit version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from rtbuild.digest import DiffId, Key, Sha256, canonical_json, hex_of, sha256_bytes
from rtbuild.inside import script_digest
from rtbuild.lockfile.model import DebArtifact, Lock, PythonArtifact
from rtbuild.lockfile.python import installs_python, python_source_version
from rtbuild.platform import Platform
from rtbuild.recipe.model import DebianLayer, FilesLayer, InstalledFile, Layer, PythonLayer, Release, Removal

SCHEMA = 1
"""Moves whenever rtbuild itself would turn the same inputs into another layer."""

_DEBIAN_SCRIPTS = ("install_packages.sh",)
_STDLIB_SCRIPTS = ("compile_stdlib.py", "compile_wheels.py")
_PYTHON_SCRIPTS = ("compile_wheels.py",)
_SDIST_SCRIPTS = ("build_wheels.py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """What one layer is made from.

    `epoch` (seconds since 1970) bounds every mtime: the newest date of the layer's artifacts or, for files, which have
    no date of their own, the moment at which the release looks at the world (`as_of`). `inputs` are (name, digest)
    pairs in the order in which they go in; names are for people (`deb bash`, `wheel celery`).
    """

    layer: Layer
    platform: Platform
    epoch: int
    inputs: tuple[tuple[str, Sha256], ...]
    debs: tuple[DebArtifact, ...] = ()
    pythons: tuple[PythonArtifact, ...] = ()

    @property
    def key(self) -> Key:
        """The derivation's identity."""
        return Key(
            sha256_bytes(
                canonical_json(
                    {
                        "schema": SCHEMA,
                        "kind": _KINDS[type(self.layer)],
                        "platform": str(self.platform),
                        "epoch": self.epoch,
                        "inputs": [list(pair) for pair in self.inputs],
                    }
                )
            )
        )


_KINDS: dict[type[Layer], str] = {
    DebianLayer: "DebianLayer",
    PythonLayer: "PythonLayer",
    FilesLayer: "FilesLayer",
}
"""How keys spell a layer's kind. The stores and locks that there are know them: a class may be renamed, these not."""


def derive(release: Release, lock: Lock, layer: Layer, outputs: Mapping[str, DiffId]) -> Derivation | None:
    """The derivation of `layer`; None where its parent's output is not known: not in `outputs`, by layer name."""
    if isinstance(layer, PythonLayer):
        return _derive_python(release, lock, layer)
    if isinstance(layer, FilesLayer):
        return _derive_files(release, lock, layer)
    return _derive_debian(release, lock, layer, outputs)


def _derive_debian(
    release: Release, lock: Lock, layer: DebianLayer, outputs: Mapping[str, DiffId]
) -> Derivation | None:
    debs = tuple(deb for deb in lock.debs if deb.layer == layer.name)
    inputs: list[tuple[str, Sha256]] = []
    if layer.parent is not None:
        if layer.parent not in outputs:
            return None
        inputs.append((f"layer {layer.parent}", hex_of(outputs[layer.parent])))
    inputs += [(f"deb {deb.name}", deb.sha256) for deb in debs]
    inputs.append(("users", _digest([asdict(user) for user in layer.users])))
    inputs += _recipe_inputs(layer, removals_of(release, layer))
    scripts = _DEBIAN_SCRIPTS + (_STDLIB_SCRIPTS if installs_python(release, debs) else ())
    inputs += [(f"script {name}", script_digest(name)) for name in scripts]
    epoch = max((deb.built for deb in debs), default=0)
    return Derivation(layer=layer, platform=lock.platform, epoch=epoch, inputs=tuple(inputs), debs=debs)


def _derive_python(release: Release, lock: Lock, layer: PythonLayer) -> Derivation:
    pythons = tuple(artifact for artifact in lock.pythons if artifact.layer == layer.name)
    # Bytecode depends on the Python that compiles it, the build platform's: hence its source version, not its .deb.
    inputs: list[tuple[str, Sha256]] = [
        ("python", _digest([release.python_series, python_source_version(release, lock)]))
    ]
    inputs += [
        (f"{'package' if one.local else 'wheel'} {one.name}", _digest([one.sha256, uploaded_epoch(one)]))
        for one in pythons
    ]
    inputs += [(f"patch {patch.id} of {one.name}", patch.sha256) for one in pythons for patch in one.patches]
    scripts: tuple[str, ...] = _PYTHON_SCRIPTS
    if not all(one.is_wheel for one in pythons):
        inputs += [(f"build wheel {one.name}", one.sha256) for one in lock.build_pythons]
        scripts += _SDIST_SCRIPTS
    inputs.append(("preferred", _digest([list(pair) for pair in layer.preferred])))
    inputs += _recipe_inputs(layer, layer.removals)
    inputs += [(f"script {name}", script_digest(name)) for name in scripts]
    epoch = max((uploaded_epoch(one) for one in pythons), default=0)
    return Derivation(layer=layer, platform=lock.platform, epoch=epoch, inputs=tuple(inputs), pythons=pythons)


def _derive_files(release: Release, lock: Lock, layer: FilesLayer) -> Derivation:
    epoch = int(release.as_of.timestamp())
    return Derivation(layer=layer, platform=lock.platform, epoch=epoch, inputs=tuple(_recipe_inputs(layer, ())))


def uploaded_epoch(artifact: PythonArtifact) -> int:
    """When the index got the artifact, in whole seconds since 1970."""
    return int(artifact.uploaded.timestamp())


def removals_of(release: Release, layer: DebianLayer) -> tuple[Removal, ...]:
    """What a Debian layer leaves out: its own rules after those of the layers below it."""
    by_name = {one.name: one for one in release.debian_layers}
    below = removals_of(release, by_name[layer.parent]) if layer.parent else ()
    return below + layer.removals


def _recipe_inputs(layer: Layer, removals: Iterable[Removal]) -> list[tuple[str, Sha256]]:
    """The recipe fields that reach the layer's bytes; reasons and titles do not."""
    return [(f"file {file.path}", _digest(_file_fields(file))) for file in layer.files] + [
        ("remove", _digest([removal.pattern for removal in removals]))
    ]


def _file_fields(file: InstalledFile) -> list[object]:
    return [file.sha256, file.link, file.copy_of, file.mode, file.uid, file.gid]


def _digest(value: object) -> Sha256:
    return sha256_bytes(canonical_json(value))
