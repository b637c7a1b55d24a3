"""Build Python layers: folders, the files that the recipe adds, and the trees of the wheels, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtbuild.derivations.derivation import Derivation
from rtbuild.derivations.plan import PlannedLayer
from rtbuild.errors import RecipeError
from rtbuild.layers.debian import installed_entries
from rtbuild.layers.files import folder_entries
from rtbuild.lockfile.model import Lock
from rtbuild.oci.folders import folders_above
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.realise import WheelTree, realise_trees


def realise_python(
    release: Release, lock: Lock, planned: Sequence[PlannedLayer], environment: BuildEnvironment
) -> Iterator[tuple[Derivation, LayerDigest]]:
    """Build the planned Python layers; yield each one after putting it into the store's layout.

    The trees of all layers are built first. The artifacts must be in the store, verified. Layers of other kinds are
    ignored.

    Raises:
        RecipeError: if a wheel installs a file that the recipe also installs.
        RtbuildError: whatever `realise_trees` raises.
    """
    layers = [(entry.layer, entry.derivation) for entry in planned if isinstance(entry.layer, PythonLayer)]
    for layer, _ in layers:
        environment.progress.begin(f"layer {layer.name}")
    trees = realise_trees(release, lock, environment, layers=[layer for layer, _ in layers])
    for tree in trees:
        if tree.stored.repaired:
            environment.progress.note(f"the tree of {tree.package} in the store was damaged and has been rebuilt")
    for layer, derivation in layers:
        assert derivation is not None  # a Python layer has no parent
        own = [tree for tree in trees if tree.layer == layer.name]
        digest = _write_layer(layer, derivation, own, environment)
        made_of = {key for tree in own for key in (tree.key, *tree.wheels)}
        environment.store.record_trees(derivation.key, digest.compressor, made_of)
        yield derivation, digest


def _write_layer(
    layer: PythonLayer,
    derivation: Derivation,
    trees: Sequence[WheelTree],
    environment: BuildEnvironment,
) -> LayerDigest:
    paths = {file.path for tree in trees for file in tree.index.files}
    added = list(installed_entries(layer.files, derivation.epoch))
    for entry, _ in added:
        if entry.path in paths:
            raise RecipeError(
                f"recipes/layers/{layer.name}.toml: /{entry.path} is also installed by a wheel",
                hint="remove it from the recipe, or list it under `removals` to drop the wheel's file",
            )
    folders = {folder for tree in trees for folder in tree.index.directories}
    added_paths = {entry.path for entry, _ in added}
    folders |= folders_above([*folders, *added_paths])
    members = [*added, *folder_entries(folders - added_paths, derivation)]
    with LayerWriter(environment.layout, compressor=environment.compressor, workers=environment.jobs) as writer:
        for entry, content in sorted(members, key=lambda member: member[0].path):
            writer.add(entry, content)
        for tree in trees:
            writer.add_frames(tree.frames)
        return writer.finish()
