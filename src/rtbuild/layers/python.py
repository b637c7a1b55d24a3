"""Python layers: the trees of their wheels, one after the other, with the folders and files that the recipe adds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rtbuild.derivations.derivation import Derivation
from rtbuild.derivations.plan import PlannedLayer
from rtbuild.errors import RecipeError
from rtbuild.formats.tar_entry import DIRECTORY, Entry
from rtbuild.layers.debian import installed_entries
from rtbuild.lockfile.model import Lock
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.realise import WheelTree, realise_trees
from rtbuild.wheels.scheme import Scheme, debian_scheme


def realise_python(
    release: Release, lock: Lock, planned: Sequence[PlannedLayer], environment: BuildEnvironment
) -> Iterator[tuple[Derivation, LayerDigest]]:
    """Build the planned Python layers, all their trees first, and put them into the store's layout one by one.

    The artifacts must be in the store, verified. Raises what `realise_trees` does, and `RecipeError` for a file of the
    recipe that a wheel installs as well.
    """
    layers = [one.layer for one in planned if isinstance(one.layer, PythonLayer)]
    for layer in layers:
        environment.progress.begin(f"layer {layer.name}")
    trees = realise_trees(release, lock, environment, layers=layers)
    for tree in trees:
        if tree.stored.repaired:
            environment.progress.note(f"the tree of {tree.package} in the store was damaged and is made again")
    for one in planned:
        if isinstance(one.layer, PythonLayer):
            assert one.derivation is not None  # a Python layer's inputs are all in the lock
            mine = [tree for tree in trees if tree.layer == one.name]
            yield (
                one.derivation,
                _write_layer(one.layer, one.derivation, mine, debian_scheme(release.python_series), environment),
            )


def _write_layer(
    layer: PythonLayer,
    derivation: Derivation,
    trees: Sequence[WheelTree],
    scheme: Scheme,
    environment: BuildEnvironment,
) -> LayerDigest:
    paths = {file.path for tree in trees for file in tree.index.files}
    added = list(installed_entries(layer.files, derivation.epoch))
    for entry, _ in added:
        if entry.path in paths:
            raise RecipeError(f"recipes/layers/{layer.name}.toml: a wheel installs /{entry.path} as well")
    folders = _folders(trees, scheme) - {entry.path for entry, _ in added}
    with LayerWriter(environment.layout, compressor=environment.compressor, workers=environment.jobs) as writer:
        members: Iterable[tuple[Entry, bytes]] = [
            *((Entry(path=path, type=DIRECTORY, mode=0o755, mtime=derivation.epoch), b"") for path in folders),
            *added,
        ]
        for entry, content in sorted(members, key=lambda member: member[0].path):
            writer.add(entry, content)
        for tree in trees:
            writer.add_frames(tree.frames)
        return writer.finish()


def _folders(trees: Sequence[WheelTree], scheme: Scheme) -> set[str]:
    """The folders that the layer brings: those of its files but for the ones that Debian's packages own.

    /usr/local and the installation paths themselves belong to the layer below, where they may be links or have another
    mode; a layer that named them would change them.
    """
    found = {folder for tree in trees for folder in tree.index.directories}
    owned: set[str] = set()
    for path in (scheme.library, scheme.scripts, scheme.data, *_DEBIANS):
        folder = path.lstrip("/")
        while folder:
            owned.add(folder)
            folder = folder.rpartition("/")[0]
    return found - owned


_DEBIANS = (
    "/usr/local/etc",
    "/usr/local/games",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/man",
    "/usr/local/sbin",
    "/usr/local/share/man",
    "/usr/local/share/ca-certificates",
    "/usr/local/src",
)
"""Folders below /usr/local that base-files and others create (Debian Policy 9.1.2)."""
