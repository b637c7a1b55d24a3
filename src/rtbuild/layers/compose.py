"""Images: config and manifest over layers that the store holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtbuild.digest import Digest
from rtbuild.lockfile.model import ImageResult, Lock
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest, platform_fields
from rtbuild.oci.layout import Layout
from rtbuild.oci.names import named
from rtbuild.oci.transfer import copy_image
from rtbuild.platform import Platform
from rtbuild.progress import Progress
from rtbuild.recipe.model import Release
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in the store's layout. `tag` is the release's version, with `-base` for the image without ONBUILD."""

    tag: str
    id: Digest
    manifest: Descriptor

    def reference(self, repository: str) -> str:
        """The image's full name."""
        return f"{repository}:{self.tag}"

    def result(self, compressor: str) -> ImageResult:
        """The form in which a lock records it."""
        return ImageResult(id=self.id, manifest=self.manifest.digest, compressor=compressor)

    def copy_to(self, layout: Layout, folder: Path, repository: str) -> None:
        """Put the image into the OCI layout at `folder`."""
        copy_image(layout, self.manifest, folder, [self.reference(repository)])


def compose_images(
    release: Release, lock: Lock, realisations: Sequence[Realisation], layout: Layout
) -> tuple[Image, ...]:
    """Write the image of `release` into `layout`, and as `-base` the same without ONBUILD triggers if it has any."""
    images = [_compose(release, lock, realisations, release.version, layout)]
    if release.image.on_build:
        plain = replace(release, image=replace(release.image, on_build=()))
        images.append(_compose(plain, lock, realisations, f"{release.version}-base", layout))
    return tuple(images)


def list_in_store(
    store: Store, images: Sequence[Image], repository: str, platform: Platform, progress: Progress
) -> None:
    """List the images in the index of the store's layout, in place of older ones of the same name and platform."""
    described = platform_fields(platform)
    entries = [
        replace(entry, platform=described)
        for image in images
        for entry in named(image.manifest, [image.reference(repository)])
    ]
    # Builds of other releases and platforms list theirs at the same time.
    with store.exclusive("the index of images", progress):
        Layout(store.layout).list_images(entries)


def _compose(release: Release, lock: Lock, realisations: Sequence[Realisation], tag: str, layout: Layout) -> Image:
    content = image_config(
        release.image,
        platform=lock.platform,
        epoch=lock.source_date_epoch,
        layers=[(realisation.layer, realisation.diff_id) for realisation in realisations],
    )
    config = layout.put_blob(content, CONFIG)
    layers = [Descriptor(media_type=one.media_type, digest=one.blob, size=one.blob_size) for one in realisations]
    return Image(tag=tag, id=config.digest, manifest=layout.put_blob(manifest(config, layers), MANIFEST))
