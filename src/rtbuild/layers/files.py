"""Build files layers from the recipe's own files, without an engine or a network."""

from __future__ import annotations

from rtbuild.derivations.derivation import Derivation
from rtbuild.layers.debian import installed_entries
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.wheels.environment import BuildEnvironment


def realise_files(derivation: Derivation, environment: BuildEnvironment) -> LayerDigest:
    """Build the layer of `derivation` and put it into the store's layout.

    Raises:
        BuildError: if a file has changed since its recipe was read.
        StoreError: if the store cannot be written.
    """
    members = sorted(installed_entries(derivation.layer.files, derivation.epoch), key=lambda member: member[0].path)
    with LayerWriter(environment.layout, compressor=environment.compressor, workers=1) as writer:
        for entry, content in members:
            writer.add(entry, content)
        return writer.finish()
