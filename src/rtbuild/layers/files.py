"""Layers of the recipe's own files: written as they are, without an engine and without anything fetched."""

from __future__ import annotations

from rtbuild.derivations.derivation import Derivation
from rtbuild.formats.frames import Compressor
from rtbuild.layers.debian import installed_entries
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.oci.layout import Layout


def realise_files(layout: Layout, derivation: Derivation, *, compressor: Compressor) -> LayerDigest:
    """Write the layer of `derivation` into `layout`.

    Raises `BuildError` for a file that changed since its recipe was read, and `StoreError`.
    """
    members = sorted(installed_entries(derivation.layer.files, derivation.epoch), key=lambda member: member[0].path)
    with LayerWriter(layout, compressor=compressor, workers=1) as writer:
        for entry, content in members:
            writer.add(entry, content)
        return writer.finish()
