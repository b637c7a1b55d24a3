"""Compare the images of a release that were read with its lock and with a rebuild, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from rtbuild.digest import DiffId, Digest
from rtbuild.lockfile.model import ImageResult, Lock
from rtbuild.oci.archive import ImageSource
from rtbuild.oci.compare import Difference, compare_layers
from rtbuild.oci.descriptor import MANIFEST, Descriptor
from rtbuild.oci.layout import image_of
from rtbuild.oci.read_image import ReadImage
from rtbuild.progress import Progress
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuildResult
from rtbuild.verbs.verification import ReadFiles, VerifiedLayer, VerifyReport
from rtbuild.workspace import LockedRelease

Layers = Sequence[tuple[str, DiffId]]
"""Names and diff IDs, bottom first."""

Comparer = Callable[[str], "tuple[Difference, ...] | None"]
"""Names the differences of a layer by its name; None if the bytes of one side are not available."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A release that was rebuilt in a store of its own; `usual` is the user's store."""

    result: BuildResult
    fresh: Store
    usual: Store
    progress: Progress

    @property
    def layers(self) -> Layers:
        """The rebuilt layers."""
        return [(layer.name, layer.diff_id) for layer in self.result.layers]

    def blob(self, name: str) -> Path | None:
        """Return the rebuilt layer `name`."""
        for layer in self.result.layers:
            if layer.name == name and (realisation := self.fresh.realisation(layer.key)) is not None:
                return _blob(self.fresh, realisation)
        return None

    def compressed(self, manifest: Digest) -> tuple[Digest, ...]:
        """Return the digests of the compressed layers of a rebuilt image."""
        size = self.fresh.layout.blob_path(manifest).stat().st_size
        descriptor = Descriptor(media_type=MANIFEST, digest=manifest, size=size)
        return tuple(layer.digest for layer in image_of(self.fresh.layout, descriptor).layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePair:
    """A release's images among those that were read: with ONBUILD triggers, and without."""

    locked: LockedRelease
    full: ReadImage | None = None
    base: ReadImage | None = None

    @property
    def first(self) -> ReadImage:
        image = self.full or self.base
        assert image is not None  # a pair is made for an image
        return image

    @property
    def images(self) -> Iterator[tuple[str, ReadImage, ImageResult | None]]:
        """Yield each image that there is, after what messages call it, before what the lock records of it."""
        if self.full is not None:
            yield "", self.full, self.locked.lock.image
        if self.base is not None:
            yield "base ", self.base, self.locked.lock.image_base


# --- with the lock ---------------------------------------------------------------------------------------------------


def compare_lock_with_rebuild(lock: Lock, rebuilt: Rebuilt) -> VerifyReport:
    """Compare what a lock records with a rebuild; files are compared if the user's store has the recorded layers."""
    recorded, result = lock.image, rebuilt.result
    assert recorded is not None  # the caller has checked it

    def differences(name: str) -> tuple[Difference, ...] | None:
        before, after = _recorded_blob(rebuilt.usual, lock, name), rebuilt.blob(name)
        return _compare(name, before, after, rebuilt.progress) if before and after else None

    comparable = recorded.compressor == result.compressor
    return VerifyReport(
        release=result.release,
        platform=result.platform,
        reproducible=not result.mismatches,
        mismatches=result.mismatches,
        expected_image_id=recorded.id,
        image_id=result.image_id,
        expected_manifest_digest=recorded.manifest,
        manifest_digest=result.manifest_digest,
        manifest_equal=recorded.manifest == result.manifest_digest if comparable else None,
        expected_base_image_id=lock.image_base.id if lock.image_base else None,
        base_image_id=result.image_base.id if result.image_base else None,
        layers=_verify_layers(_recorded(lock), rebuilt.layers, differences, absent="was not built"),
        seconds=0.0,
    )


def compare_with_lock(
    pair: ImagePair, source: ImageSource, read: ReadFiles, usual: Store, progress: Progress
) -> VerifyReport:
    """Compare images with the lock alone; files are compared if the user's store has the recorded layers."""
    lock, image = pair.locked.lock, pair.first
    layers: tuple[VerifiedLayer, ...] = ()
    if lock.image is None:
        read = replace(read, notes=(*read.notes, f"{pair.locked.lock_name} records no digests to compare with"))
    else:
        found = _named(image, [layer.name for layer in lock.layers])
        paths = dict(zip((name for name, _ in found), image.layers, strict=True))

        def differences(name: str) -> tuple[Difference, ...] | None:
            recorded = _recorded_blob(usual, lock, name)
            if recorded is None:
                return None
            with source.open(paths[name].path) as stream:
                return _compare(name, recorded, stream, progress)

        layers = _verify_layers(_recorded(lock), found, differences, absent="is not in the image")
    mismatches = tuple(_lock_mismatches(pair))
    return VerifyReport(
        release=lock.release,
        platform=str(lock.platform),
        reproducible=False if mismatches else None,
        mismatches=mismatches,
        expected_image_id=pair.full.config if pair.full else None,
        image_id=None,
        expected_manifest_digest=image.manifest,
        manifest_digest=None,
        manifest_equal=_same_manifest(pair),
        expected_base_image_id=pair.base.config if pair.base else None,
        base_image_id=None,
        layers=layers,
        seconds=0.0,
        subject=source.title,
        rebuilt=False,
        read=read,
    )


def _lock_mismatches(pair: ImagePair) -> Iterator[str]:
    lock = pair.locked.lock
    if lock.image is None:
        return
    for which, image, result in pair.images:
        if result is None:
            yield f"{which}image: not recorded in the lock"
            continue
        found = _named(image, [layer.name for layer in lock.layers])
        for name, wanted, diff_id in _side_by_side(_recorded(lock), found):
            if wanted != diff_id:
                yield f"{which}layer {name}: {diff_id} in the image, the lock records {wanted}"
        if image.config != result.id:
            yield f"{which}config digest: {image.config} in the image, the lock records {result.id}"


def _same_manifest(pair: ImagePair) -> bool | None:
    """Whether the manifests are those of the lock; None if another compressor may have written the layers."""
    equal = all(result is not None and image.manifest == result.manifest for _, image, result in pair.images)
    return True if equal else None


# --- with a rebuild --------------------------------------------------------------------------------------------------


def compare_with_rebuild(pair: ImagePair, rebuilt: Rebuilt, source: ImageSource, read: ReadFiles) -> VerifyReport:
    """Compare images with a rebuild, and both with the lock."""
    result, image = rebuilt.result, pair.first
    wanted = _named(image, [layer.name for layer in result.layers])
    paths = dict(zip((name for name, _ in wanted), image.layers, strict=True))

    def differences(name: str) -> tuple[Difference, ...] | None:
        blob = rebuilt.blob(name)
        if blob is None:
            return None
        with source.open(paths[name].path) as stream:
            return _compare(name, stream, blob, rebuilt.progress)

    mismatches = [*_lock_mismatches(pair), *result.mismatches]
    manifests: list[tuple[Digest, bool | None]] = []
    for which, found, _ in pair.images:
        built = result.image_base if which else result.image_result()
        if built is None:
            mismatches.append(f"{which}image: the release has none")
            continue
        mismatches += _rebuild_mismatches(which, found, built, rebuilt)
        equal = _manifest_equal(found, built, rebuilt)
        manifests.append((built.manifest, equal))
        if equal is False:
            what = f"{found.manifest} in the image, rebuilt as {built.manifest} over the same config and layers"
            mismatches.append(f"{which}manifest digest: {what}")
    verdicts = {equal for _, equal in manifests}
    return VerifyReport(
        release=result.release,
        platform=result.platform,
        reproducible=not mismatches,
        mismatches=tuple(dict.fromkeys(mismatches)),
        expected_image_id=pair.full.config if pair.full else None,
        image_id=result.image_id,
        expected_manifest_digest=image.manifest,
        manifest_digest=manifests[0][0] if manifests else None,
        manifest_equal=False if False in verdicts else None if None in verdicts or not verdicts else True,
        expected_base_image_id=pair.base.config if pair.base else None,
        base_image_id=result.image_base.id if result.image_base else None,
        layers=_verify_layers(wanted, rebuilt.layers, differences, absent="was not built"),
        seconds=0.0,
        subject=source.title,
        read=read,
    )


def _rebuild_mismatches(which: str, image: ReadImage, built: ImageResult, rebuilt: Rebuilt) -> Iterator[str]:
    wanted = _named(image, [layer.name for layer in rebuilt.result.layers])
    for name, expected, found in _side_by_side(wanted, rebuilt.layers):
        if expected != found:
            yield f"{which}layer {name}: {expected} in the image, rebuilt as {found}"
    if image.config != built.id:
        yield f"{which}config digest: {image.config} in the image, rebuilt as {built.id}"


def _manifest_equal(image: ReadImage, built: ImageResult, rebuilt: Rebuilt) -> bool | None:
    """Whether a manifest is the rebuilt one; None if its layers are compressed in another way."""
    if image.manifest == built.manifest:
        return True
    if image.manifest is None or image.config != built.id:
        return None
    same_blobs = tuple(layer.blob for layer in image.layers) == rebuilt.compressed(built.manifest)
    return False if same_blobs else None


# --- layers ----------------------------------------------------------------------------------------------------------


def _recorded(lock: Lock) -> Layers:
    return [(layer.name, layer.diff_id) for layer in lock.layers]


def _named(image: ReadImage, names: Sequence[str]) -> Layers:
    """Return the layers of an image under the names that they should have: an image knows only their order."""
    positions = (*names, *(f"layer {position}" for position in range(len(names) + 1, len(image.layers) + 1)))
    return [(name, layer.diff_id) for name, layer in zip(positions, image.layers, strict=False)]


def _side_by_side(wanted: Layers, found: Layers) -> Iterator[tuple[str, DiffId | None, DiffId | None]]:
    """Yield each layer's name with the diff ID that is wanted and the one that was found."""
    expected, there = dict(wanted), dict(found)
    for name in (*there, *(name for name in expected if name not in there)):
        yield name, expected.get(name), there.get(name)


def _verify_layers(wanted: Layers, found: Layers, compare: Comparer, *, absent: str) -> tuple[VerifiedLayer, ...]:
    """Compare layers by name; `absent` is what is said of one that was not found."""
    layers = []
    for name, expected, diff_id in _side_by_side(wanted, found):
        differences: tuple[Difference, ...] | None = ()
        note = ""
        if diff_id is None:
            note = absent
        elif expected is None:
            note = "is not expected"
        elif diff_id != expected:
            differences = compare(name)
            if differences is None:
                note = "the recorded layer is not in the store, so its files cannot be compared"
        layers.append(
            VerifiedLayer(name=name, expected=expected, found=diff_id, differences=differences or (), note=note)
        )
    return tuple(layers)


def _compare(name: str, a: Path | BinaryIO, b: Path | BinaryIO, progress: Progress) -> tuple[Difference, ...]:
    progress.begin(f"compare {name}")
    outcome = "failed"
    try:
        differences = compare_layers(a, b)
        outcome = f"{len(differences)} differences"
    finally:
        progress.end(f"compare {name}", outcome)
    return differences


def _recorded_blob(store: Store, lock: Lock, name: str) -> Path | None:
    """Return the blob of the very layer that the lock records, if the user's store has it."""
    for layer in lock.layers:
        realisation = store.realisation(layer.key) if layer.name == name else None
        if realisation is not None and realisation.diff_id == layer.diff_id and store.has_layer(realisation):
            return _blob(store, realisation)
    return None


def _blob(store: Store, realisation: Realisation) -> Path:
    return store.layout.blob_path(realisation.blob)
