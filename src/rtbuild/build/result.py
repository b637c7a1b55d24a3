"""What a build gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtbuild.digest import DiffId, Digest, Key
from rtbuild.lock.model import ImageResult, LayerResult


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltLayer:
    """One layer of the image. `size` is the uncompressed tar's, in bytes."""

    name: str
    key: Key
    diff_id: DiffId
    size: int
    state: Literal["built", "cached", "pulled"]

    def result(self) -> LayerResult:
        """The form in which a lock records it."""
        return LayerResult(name=self.name, key=self.key, diff_id=self.diff_id, size=self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """One image of one (release, platform), bottom layer first.

    `image_id` is the identity that holds everywhere; `manifest_digest` adds the bytes that `compressor` wrote.
    `matches_lock` is None where the lock records nothing to compare with; `mismatches` names what differs, a line each.
    """

    release: str
    platform: str
    image_id: Digest
    manifest_digest: Digest
    compressor: str
    matches_lock: bool | None
    mismatches: tuple[str, ...]
    layers: tuple[BuiltLayer, ...]
    seconds: float

    def image_result(self) -> ImageResult:
        """The form in which a lock records the image."""
        return ImageResult(id=self.image_id, manifest=self.manifest_digest, compressor=self.compressor)


def compare_with_lock(
    layers: tuple[BuiltLayer, ...],
    image: ImageResult,
    locked_layers: tuple[LayerResult, ...],
    locked_image: ImageResult | None,
) -> tuple[bool | None, tuple[str, ...]]:
    """(`matches_lock`, `mismatches`) of what came out against what a lock records.

    A manifest digest counts only where the same compressor wrote it; the image ID always does.
    """
    if locked_image is None:
        return None, ()
    recorded = {layer.name: layer for layer in locked_layers}
    mismatches = []
    for layer in layers:
        wanted = recorded.pop(layer.name, None)
        if wanted is None:
            mismatches.append(f"layer {layer.name}: the lock does not record it")
        elif wanted.diff_id != layer.diff_id:
            same = "of the same inputs" if wanted.key == layer.key else "of other inputs"
            mismatches.append(f"layer {layer.name} ({same}): {layer.diff_id}, the lock says {wanted.diff_id}")
    mismatches += [f"layer {name}: the lock records it, the image has none" for name in recorded]
    if locked_image.id != image.id:
        mismatches.append(f"image ID: {image.id}, the lock says {locked_image.id}")
    elif locked_image.compressor == image.compressor and locked_image.manifest != image.manifest:
        mismatches.append(f"manifest digest: {image.manifest}, the lock says {locked_image.manifest}")
    return not mismatches, tuple(mismatches)
