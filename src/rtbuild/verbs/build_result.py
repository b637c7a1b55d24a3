"""What a build gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtbuild.digest import DiffId, Digest, Key
from rtbuild.lockfile.model import ImageResult, LayerResult, Lock


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
    `image_base` is the same image without its ONBUILD triggers, None where the release has none. `matches_lock` is None
    where the lock records nothing to compare with; `mismatches` names what differs, a line each.
    """

    release: str
    platform: str
    image_id: Digest
    manifest_digest: Digest
    compressor: str
    image_base: ImageResult | None
    matches_lock: bool | None
    mismatches: tuple[str, ...]
    layers: tuple[BuiltLayer, ...]
    seconds: float

    def image_result(self) -> ImageResult:
        """The form in which a lock records the image."""
        return ImageResult(id=self.image_id, manifest=self.manifest_digest, compressor=self.compressor)


def compare_with_lock(
    layers: tuple[BuiltLayer, ...], image: ImageResult, image_base: ImageResult | None, lock: Lock
) -> tuple[bool | None, tuple[str, ...]]:
    """(`matches_lock`, `mismatches`) of what came out against what a lock records.

    A layer's key does not count: it names inputs, and a newer rtbuild may name the same ones otherwise.
    """
    if lock.image is None:
        return None, ()
    recorded = {layer.name: layer for layer in lock.layers}
    mismatches = []
    for layer in layers:
        wanted = recorded.pop(layer.name, None)
        if wanted is None:
            mismatches.append(f"layer {layer.name}: the lock does not record it")
        elif wanted.diff_id != layer.diff_id:
            same = "of the same inputs" if wanted.key == layer.key else "of other inputs"
            mismatches.append(f"layer {layer.name} ({same}): {layer.diff_id}, the lock says {wanted.diff_id}")
        elif wanted.size != layer.size:
            mismatches.append(f"layer {layer.name}: {layer.size} bytes, the lock says {wanted.size}")
    mismatches += [f"layer {name}: the lock records it, the image has none" for name in recorded]
    mismatches += _compare_images("", image, lock.image)
    mismatches += _compare_images("base ", image_base, lock.image_base)
    return not mismatches, tuple(mismatches)


def _compare_images(which: str, found: ImageResult | None, recorded: ImageResult | None) -> list[str]:
    """A manifest digest counts only where the same compressor wrote it; the image ID always does."""
    if found is None and recorded is None:
        return []
    if recorded is None:
        return [f"{which}image: the lock does not record it"]
    if found is None:
        return [f"{which}image: the lock records it, the release has none"]
    if found.id != recorded.id:
        return [f"{which}image ID: {found.id}, the lock says {recorded.id}"]
    if found.compressor == recorded.compressor and found.manifest != recorded.manifest:
        return [f"{which}manifest digest: {found.manifest}, the lock says {recorded.manifest}"]
    return []
