"""Assemble images: a config and a manifest over layers in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtbuild.digest import Digest, digest_of, sha256_bytes
from rtbuild.errors import IntegrityError
from rtbuild.lockfile.model import ImageResult, Lock
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest, platform_fields
from rtbuild.oci.layout import Layout
from rtbuild.oci.names import named
from rtbuild.platform import Platform
from rtbuild.progress import Progress
from rtbuild.recipe.model import Release
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in the store's layout.

    Attributes:
        tag: The release's version, with the suffix `-base` for the image without ONBUILD triggers.
        id: The digest of its config.
        manifest: The descriptor of its manifest.
    """

    tag: str
    id: Digest
    manifest: Descriptor

    def reference(self, repository: str) -> str:
        """Return the image's full name."""
        return f"{repository}:{self.tag}"

    def result(self, compressor: str) -> ImageResult:
        """Return the image as a lock records it."""
        return ImageResult(id=self.id, manifest=self.manifest.digest, compressor=compressor)

    def copy_to(self, layout: Layout, folder: Path, repository: str) -> None:
        """Copy the image from `layout` to the OCI image layout at `folder`."""
        from rtbuild.oci.transfer import copy_image  # most builds write no layout but the store's

        copy_image(layout, self.manifest, folder, [self.reference(repository)])


def compose_images(
    release: Release, lock: Lock, realisations: Sequence[Realisation], layout: Layout
) -> tuple[Image, ...]:
    """Write the image of `release` to `layout` and, if it has ONBUILD triggers, a `-base` image without them."""
    images = [_compose(release, lock, realisations, release.version, layout)]
    if release.image.on_build:
        plain = replace(release, image=replace(release.image, on_build=()))
        images.append(_compose(plain, lock, realisations, f"{release.version}-base", layout))
    return tuple(images)


def manifest_of(release: Release, lock: Lock, realisations: Sequence[Realisation]) -> Digest:
    """Return the manifest digest that the image of `release` has with these layers. Nothing is written."""
    config = _config(release, lock, realisations)
    described = Descriptor(media_type=CONFIG, digest=digest_of(sha256_bytes(config)), size=len(config))
    return digest_of(sha256_bytes(manifest(described, _descriptors(realisations))))


def list_in_store(
    store: Store, images: Sequence[Image], repository: str, platform: Platform, progress: Progress
) -> None:
    """Add the images to the index of the store's layout, replacing older ones with the same name and platform.

    A damaged index is replaced: no build reads it, and each build lists its images again.

    Raises:
        StoreError: if the store cannot be read or written.
    """
    described = platform_fields(platform)
    entries = [
        replace(entry, platform=described)
        for image in images
        for entry in named(image.manifest, [image.reference(repository)])
    ]
    # Builds of other releases and platforms may update the index at the same time.
    with store.exclusive("the index of images", progress):
        try:
            store.layout.list_images(entries)
        except IntegrityError as error:
            progress.note(
                f"replacing the damaged index of the store ({error.brief}): other images are listed when built"
            )
            store.layout.write_index(entries)


def _compose(release: Release, lock: Lock, realisations: Sequence[Realisation], tag: str, layout: Layout) -> Image:
    config = layout.put_blob(_config(release, lock, realisations), CONFIG)
    document = layout.put_blob(manifest(config, _descriptors(realisations)), MANIFEST)
    return Image(tag=tag, id=config.digest, manifest=document)


def _config(release: Release, lock: Lock, realisations: Sequence[Realisation]) -> bytes:
    return image_config(
        release.image,
        platform=lock.platform,
        epoch=lock.source_date_epoch,
        layers=[(realisation.layer, realisation.diff_id) for realisation in realisations],
    )


def _descriptors(realisations: Sequence[Realisation]) -> list[Descriptor]:
    return [
        Descriptor(media_type=realisation.media_type, digest=realisation.blob, size=realisation.blob_size)
        for realisation in realisations
    ]
