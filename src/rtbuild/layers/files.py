"""Build files layers from the recipe's own files, without an engine or a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rtbuild.derivations.derivation import Derivation
from rtbuild.derivations.folders import PLAIN
from rtbuild.formats.tar_entry import DIRECTORY, Entry
from rtbuild.layers.debian import installed_entries
from rtbuild.oci.folders import folders_above
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.wheels.environment import BuildEnvironment


def folder_entries(paths: Iterable[str], derivation: Derivation) -> Iterator[tuple[Entry, bytes]]:
    """Yield the tar members of folders that no recipe declares: as they are in the layers below."""
    for path in paths:
        mode, uid, gid = derivation.folders.get(path, PLAIN)
        yield Entry(path=path, type=DIRECTORY, mode=mode, uid=uid, gid=gid, mtime=derivation.epoch), b""


def realise_files(derivation: Derivation, environment: BuildEnvironment) -> LayerDigest:
    """Build the layer of `derivation` and put it into the store's layout.

    Raises:
        BuildError: if a file has changed since its recipe was read.
        StoreError: if the store cannot be written.
    """
    added = list(installed_entries(derivation.layer.files, derivation.epoch))
    paths = {entry.path for entry, _ in added}
    members = [*added, *folder_entries(folders_above(paths) - paths, derivation)]
    with LayerWriter(environment.layout, compressor=environment.compressor, workers=1) as writer:
        for entry, content in sorted(members, key=lambda member: member[0].path):
            writer.add(entry, content)
        return writer.finish()
