"""Derivations: the complete inputs of a layer and the key computed from them. Same key, same layer.

A key covers digests of inputs and nothing about the machine: no host, path, user, time, engine or BuildKit version.

| layer | inputs, besides platform, epoch, files, removals and scripts |
|---|---|
| Debian | the outputs of the layers below (not their keys), .debs, rules for them, groups, users, apt's suites |
| Python | the Python that compiles, wheels and sdists, patches, wheels that build sdists, `preferred`, folders |
| files | folders |

Folders are those of the layers below that have other attributes than most (see `folders`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from rtbuild.derivations.folders import Attributes, known_folders
from rtbuild.derivations.known_packages import PACKAGE_RULES, PackageRule, rules_for
from rtbuild.digest import DiffId, Key, Sha256, canonical_json, hex_of, sha256_bytes
from rtbuild.inside import script_digest
from rtbuild.lockfile.python import python_source_version, standard_library
from rtbuild.platform import Platform
from rtbuild.recipe.model import DebianLayer, FilesLayer, InstalledFile, Layer, PythonLayer, Release, Removal

if TYPE_CHECKING:
    from rtbuild.lockfile.model import DebArtifact, Lock, PythonArtifact

SCHEMA = 3
"""Increase it whenever a change to rtbuild turns the same inputs into a different layer."""

_DEBIAN_SCRIPTS = ("install_packages.sh",)
_STDLIB_SCRIPTS = ("compile_stdlib.py", "compile_wheels.py")
_PYTHON_SCRIPTS = ("compile_wheels.py",)
_SDIST_SCRIPTS = ("build_wheels.py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """The complete inputs of one layer.

    Attributes:
        layer: The layer.
        platform: The target platform.
        epoch: The upper limit of every mtime, in seconds since 1970: the newest date of the layer's artifacts or, for a
            files layer, which has none, the release's `as_of`.
        inputs: (name, digest) pairs in the order in which they are hashed, such as `deb bash` or `wheel celery`.
        debs: The Debian packages of a Debian layer.
        rules: The rules for known packages in a Debian layer or below it.
        pythons: The Python packages of a Python layer.
        folders: Folders of the layers below a Python layer or a layer of files that are not plain.
    """

    layer: Layer
    platform: Platform
    epoch: int
    inputs: tuple[tuple[str, Sha256], ...]
    debs: tuple[DebArtifact, ...] = ()
    rules: tuple[PackageRule, ...] = ()
    pythons: tuple[PythonArtifact, ...] = ()
    folders: Mapping[str, Attributes] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The key of the layer."""
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
"""How keys spell the kind of a layer. Existing stores and locks contain such keys: never change these strings."""


def derive(release: Release, lock: Lock, layer: Layer, outputs: Mapping[str, DiffId]) -> Derivation | None:
    """Return the derivation of `layer`, or None if the output of its parent is unknown.

    `outputs` are the diff IDs of layers that are already built, by layer name.

    Raises:
        LockError: if the lock does not have the Python of the release.
    """
    if isinstance(layer, PythonLayer):
        return _derive_python(release, lock, layer)
    if isinstance(layer, FilesLayer):
        return _derive_files(release, lock, layer)
    return _derive_debian(release, lock, layer, outputs)


def _derive_debian(
    release: Release, lock: Lock, layer: DebianLayer, outputs: Mapping[str, DiffId]
) -> Derivation | None:
    debs = tuple(deb for deb in lock.debs if deb.layer == layer.name)
    stack = {layer.name, *(below.name for below in layers_below(release, layer))}
    rules = rules_for(deb.name for deb in lock.debs if deb.layer in stack)
    inputs: list[tuple[str, Sha256]] = []
    for below in layers_below(release, layer):
        if below.name not in outputs:
            return None
        inputs.append((f"layer {below.name}", hex_of(outputs[below.name])))
    inputs += [(f"deb {deb.name}", deb.sha256) for deb in debs]
    inputs += _account_inputs(layer)
    if suites := apt_suites(layer, lock.platform):
        listing = [file.path for file in layer.files if file.apt_sources]
        inputs.append(("apt sources", _digest([listing, suites])))
    inputs += _recipe_inputs(layer, removals_of(release, layer))
    inputs += [(f"rule for {rule.package}", rule.digest) for rule in rules]
    scripts = _DEBIAN_SCRIPTS + (_STDLIB_SCRIPTS if standard_library(debs) else ())
    inputs += [(f"script {name}", script_digest(name)) for name in scripts]
    epoch = max((deb.built for deb in debs), default=0)
    return Derivation(layer=layer, platform=lock.platform, epoch=epoch, inputs=tuple(inputs), debs=debs, rules=rules)


def _derive_python(release: Release, lock: Lock, layer: PythonLayer) -> Derivation:
    pythons = tuple(artifact for artifact in lock.pythons if artifact.layer == layer.name)
    # The source version, not the .deb: bytecode may be compiled by the same Python of another platform.
    inputs: list[tuple[str, Sha256]] = [
        ("python", _digest([release.python_series, python_source_version(release, lock)]))
    ]
    inputs += [
        (
            f"{'package' if artifact.local else 'wheel'} {artifact.name}",
            _digest([artifact.sha256, uploaded_epoch(artifact)]),
        )
        for artifact in pythons
    ]
    inputs += [
        (f"patch {patch.id} of {artifact.name}", patch.sha256) for artifact in pythons for patch in artifact.patches
    ]
    scripts: tuple[str, ...] = _PYTHON_SCRIPTS
    if not all(artifact.is_wheel for artifact in pythons):
        inputs += [(f"build wheel {artifact.name}", artifact.sha256) for artifact in lock.build_pythons]
        scripts += _SDIST_SCRIPTS
    inputs.append(("preferred", _digest([list(pair) for pair in layer.preferred])))
    inputs += _recipe_inputs(layer, layer.removals)
    folders = known_folders(release, layer)
    inputs.append(_folders_input(folders))
    inputs += [(f"script {name}", script_digest(name)) for name in scripts]
    epoch = max((uploaded_epoch(artifact) for artifact in pythons), default=0)
    return Derivation(
        layer=layer, platform=lock.platform, epoch=epoch, inputs=tuple(inputs), pythons=pythons, folders=folders
    )


def _derive_files(release: Release, lock: Lock, layer: FilesLayer) -> Derivation:
    epoch = int(release.as_of.timestamp())
    folders = known_folders(release, layer)
    inputs = (*_recipe_inputs(layer, ()), _folders_input(folders))
    return Derivation(layer=layer, platform=lock.platform, epoch=epoch, inputs=inputs, folders=folders)


def _folders_input(folders: Mapping[str, Attributes]) -> tuple[str, Sha256]:
    return "folders", _digest([[path, *attributes] for path, attributes in sorted(folders.items())])


def key_scheme() -> Sha256:
    """Return the digest of what keys cover of rtbuild itself: the schema, the scripts and the rules for packages."""
    scripts = sorted({*_DEBIAN_SCRIPTS, *_STDLIB_SCRIPTS, *_PYTHON_SCRIPTS, *_SDIST_SCRIPTS})
    rules = [[rule.package, rule.digest] for rule in PACKAGE_RULES]
    return _digest([SCHEMA, [[name, script_digest(name)] for name in scripts], rules])


def uploaded_epoch(artifact: PythonArtifact) -> int:
    """Return the time at which the artifact was uploaded to the index, in whole seconds since 1970."""
    return int(artifact.uploaded.timestamp())


def apt_suites(layer: DebianLayer, platform: Platform) -> list[list[str]]:
    """Return what apt's sources in the image list, if the layer writes them: archive, suite and components of each."""
    if not any(file.apt_sources for file in layer.files):
        return []
    return [
        [suite.archive, suite.suite, *suite.components]
        for suite in layer.suites
        if platform.debian in suite.architectures
    ]


def layers_below(release: Release, layer: DebianLayer) -> tuple[DebianLayer, ...]:
    """Return the Debian layers below `layer`, bottom first."""
    names = [debian.name for debian in release.debian_layers]
    return tuple(release.debian_layers[: names.index(layer.name)])


def removals_of(release: Release, layer: DebianLayer) -> tuple[Removal, ...]:
    """Return the removals that apply to a Debian layer: those of the layers below it, then its own."""
    return tuple(removal for debian in (*layers_below(release, layer), layer) for removal in debian.removals)


def _account_inputs(layer: DebianLayer) -> list[tuple[str, Sha256]]:
    users = [asdict(user) for user in layer.users]
    members = [[user["name"], *user.pop("groups")] for user in users]
    inputs = [("users", _digest(users))]
    if layer.groups or any(user.groups for user in layer.users):
        inputs.append(("groups", _digest([[asdict(group) for group in layer.groups], members])))
    return inputs


def _recipe_inputs(layer: Layer, removals: Iterable[Removal]) -> list[tuple[str, Sha256]]:
    """Return the recipe fields that affect the layer's bytes; reasons and titles do not."""
    return [(f"file {file.path}", _digest(_file_fields(file))) for file in layer.files] + [
        ("remove", _digest([removal.pattern for removal in removals]))
    ]


def _file_fields(file: InstalledFile) -> list[object]:
    return [file.sha256, file.link, file.copy_of, file.mode, file.uid, file.gid]


def _digest(value: object) -> Sha256:
    return sha256_bytes(canonical_json(value))
