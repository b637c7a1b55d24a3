"""Layers of the recipe's own files: written as they are, without an engine and without anything fetched."""

from __future__ import annotations

from rtbuild.derivations.derivation import Derivation
from rtbuild.layers.debian import installed_entries
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.wheels.environment import BuildEnvironment


def realise_files(derivation: Derivation, environment: BuildEnvironment) -> LayerDigest:
    """Write the layer of `derivation` into the store.

    Raises `BuildError` for a file that changed since its recipe was read, and `StoreError`.
    """
    members = sorted(installed_entries(derivation.layer.files, derivation.epoch), key=lambda member: member[0].path)
    with LayerWriter(environment.layout, compressor=environment.compressor, workers=1) as writer:
        for entry, content in members:
            writer.add(entry, content)
        return writer.finish()
