"""The image that a Debian layer is built on: the layers below it, and the files that were unpacked for its packages."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import DiffId, digest_of, sha256_file
from rtbuild.engine.build import layout_reference
from rtbuild.errors import BuildError
from rtbuild.files import link_file
from rtbuild.formats.compression import PLAIN
from rtbuild.formats.frames import open_uncompressed
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.platform import Platform
from rtbuild.recipe.model import ImageSettings
from rtbuild.store.realisation import Realisation
from rtbuild.wheels.environment import BuildEnvironment

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentImage:
    """The image. `reference` is what BuildKit finds it by; `layout` holds the blobs of its `layers`, bottom first."""

    reference: str
    layout: Layout
    layers: tuple[Descriptor, ...]

    def link_layers(self, layout: Layout) -> None:
        """Put hard links to the blobs of the layers into `layout`: an export skips blobs that are there."""
        for layer in self.layers:
            link_file(self.layout.blob_path(layer.digest), layout.blob_path(layer.digest))


def parent_image(
    below: Sequence[Realisation], contents: Path, folder: Path, platform: Platform, environment: BuildEnvironment
) -> ParentImage:
    """Write an image of the layers `below` and the uncompressed tar `contents` on top of them into `folder`.

    Raises:
        StoreError: if the folder cannot be written.
        EngineError: if its path contains a colon or an at sign.
    """
    layout = Layout.create(folder / "layout")
    for realisation in below:
        link_file(environment.layout.blob_path(realisation.blob), layout.blob_path(realisation.blob))
    digest = digest_of(sha256_file(contents))
    link_file(contents, layout.blob_path(digest))
    top = Descriptor(media_type=PLAIN.media_type, digest=digest, size=contents.stat().st_size)
    lower = [
        Descriptor(media_type=realisation.media_type, digest=realisation.blob, size=realisation.blob_size)
        for realisation in below
    ]
    layers = (*lower, top)
    names = [*((realisation.layer, realisation.diff_id) for realisation in below), ("contents", DiffId(digest))]
    config = layout.put_blob(image_config(ImageSettings(), platform=platform, epoch=0, layers=names), CONFIG)
    document = layout.put_blob(manifest(config, layers), MANIFEST)
    reference = layout_reference(
        folder / "reference", blobs=layout.root / "blobs", manifest=document.digest, size=document.size
    )
    return ParentImage(reference=reference, layout=layout, layers=layers)


def exported_layers(export: Path, *, below: int) -> list[Path]:
    """Return the uncompressed layers that were built, bottom first, in the layout that BuildKit wrote to `export`.

    `below` is the number of layers below them.

    Raises:
        BuildError: if there are none.
        IntegrityError: if the layout is malformed.
    """
    layout = Layout.open(export)
    layers = read_stored_image(layout).layers[below:]
    if not layers:
        raise BuildError("the engine exported an image without the new layer")
    return [layout.blob_path(layer.digest) for layer in layers]


def uncompressed_layer(realisation: Realisation, folder: Path, environment: BuildEnvironment) -> Path:
    """Write the uncompressed layer into `folder` and return its path: a merge reads it in any order.

    Raises:
        IntegrityError: if the layer is damaged.
        OSError: if the file cannot be written.
    """
    path = folder / f"{realisation.layer}.tar"
    with open_uncompressed(environment.layout.blob_path(realisation.blob)) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
    return path
