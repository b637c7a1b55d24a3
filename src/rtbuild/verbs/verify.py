"""The `verify` verb: build a release again from nothing, and compare layer by layer with what the lock records."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rtbuild.digest import DiffId, Digest
from rtbuild.errors import LockError, UsageError
from rtbuild.files import link_file
from rtbuild.lockfile.model import Artifact, ImageResult, LayerResult, Lock
from rtbuild.oci.compare import Difference, compare_layers
from rtbuild.oci.layout import Layout, StoredImage, read_stored_image
from rtbuild.oci.names import is_called
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.build_result import BuildResult
from rtbuild.verbs.fetch import engine_packages
from rtbuild.verbs.verify_report import VerifiedLayer, VerifyReport, write_report
from rtbuild.workspace import Workspace


def verify(
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings,
    against: Path | None = None,
    report: Path | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Rebuild `release` in an empty store, without the engine's cache, and compare with the lock.

    Artifacts that the user's store has are taken from there, each hashed again before it is used; everything else is
    made anew. `against` is a folder with an OCI image layout to compare with instead of the lock: its image with the
    release's version for a tag, or the only one it has. `report` is a folder that gets the report as text and JSON, and
    the layers that differ.

    Raises `LockError` where the lock records nothing to compare with, and what `build` raises.
    """
    begun = time.monotonic()
    progress = progress or Silent()
    target = platform or host_platform()
    version = workspace.resolve(release)
    lock = workspace.read_lock(version, target)
    other = _image_in(against, version, target) if against else None
    if lock.image is None and other is None:
        raise LockError(
            f"{workspace.relative(workspace.lock_path(version, target))}: records no digests to verify",
            hint=f"build it first: rtbuild build {version} --record",
        )
    store = Store.open(settings.store, progress)
    with store.temporary("verify") as folder:
        fresh = Store.open(folder / "store", progress)
        lend_artifacts((*lock.remote, *engine_packages(workspace)), store, fresh)
        result = build(
            workspace, version, platform=target, settings=replace(settings, store=fresh.root), progress=progress
        )
        layers = _compare(lock, other, result, store, fresh, progress)
        verified = _report(lock, other, result, layers, time.monotonic() - begun)
        if report is not None:
            write_report(verified, report, changed_blobs(fresh, result, layers))
    return verified


def lend_artifacts(artifacts: Iterable[Artifact], store: Store, fresh: Store) -> None:
    """Put those of `artifacts` that `store` has into `fresh`; whoever uses them hashes them first.

    What the recipes bring is not among them: it is made again, like everything that is made.
    """
    for artifact in artifacts:
        with suppress(OSError):
            link_file(store.artifact_path(artifact.sha256), fresh.artifact_path(artifact.sha256))


def changed_blobs(fresh: Store, result: BuildResult, layers: tuple[VerifiedLayer, ...]) -> dict[str, Path]:
    """The blobs of the layers that came out otherwise, by layer name."""
    by_name = {layer.name: layer for layer in result.layers}
    found: dict[str, Path] = {}
    for layer in layers:
        if layer.equal or layer.name not in by_name:
            continue
        realisation = fresh.realisation(by_name[layer.name].key)
        if realisation is not None:
            found[layer.name] = _blob(fresh, realisation)
    return found


def _image_in(folder: Path, version: str, platform: Platform) -> tuple[Layout, StoredImage]:
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder", hint="--against takes an OCI image layout, as build --output writes"
        )
    layout = Layout.open(folder)
    os_name, architecture = platform.name.split("/")
    # `build --output` writes the image without ONBUILD triggers beside the release's own.
    tagged = any(is_called(found, version) for found in layout.read_index())
    return layout, read_stored_image(layout, version if tagged else None, platform=(os_name, architecture))


def _compare(
    lock: Lock,
    other: tuple[Layout, StoredImage] | None,
    result: BuildResult,
    store: Store,
    fresh: Store,
    progress: Progress,
) -> tuple[VerifiedLayer, ...]:
    expected: dict[str, DiffId]
    blobs: dict[str, Path]
    if other is not None:
        layout, image = other
        names = [layer.name for layer in result.layers]
        names += [f"layer {position}" for position in range(len(names) + 1, len(image.layers) + 1)]
        expected = dict(zip(names, image.diff_ids, strict=False))
        blobs = {name: layout.blob_path(one.digest) for name, one in zip(names, image.layers, strict=False)}
    else:
        expected = {layer.name: layer.diff_id for layer in lock.layers}
        blobs = {layer.name: blob for layer in lock.layers if (blob := _expected_blob(store, layer)) is not None}
    found = {layer.name: layer for layer in result.layers}
    verified = []
    for name in (*found, *(name for name in expected if name not in found)):
        layer = found.get(name)
        differences: tuple[Difference, ...] = ()
        note = ""
        if layer is None:
            note = "was not built"
        elif name not in expected:
            note = "is not expected"
        elif layer.diff_id != expected[name]:
            realisation = fresh.realisation(layer.key)
            if name in blobs and realisation is not None:
                progress.begin(f"compare {name}")
                differences = compare_layers(blobs[name], _blob(fresh, realisation))
                progress.end(f"compare {name}", f"{len(differences)} differences")
            else:
                note = "the store does not hold the layer that the lock records: no file can be named"
        verified.append(
            VerifiedLayer(
                name=name,
                expected=expected.get(name),
                found=layer.diff_id if layer else None,
                differences=differences,
                note=note,
            )
        )
    return tuple(verified)


def _expected_blob(store: Store, layer: LayerResult) -> Path | None:
    """The blob of the very layer that the lock records, where the user's store has it."""
    realisation = store.realisation(layer.key)
    if realisation is None or realisation.diff_id != layer.diff_id or not store.has_layer(realisation):
        return None
    return _blob(store, realisation)


def _blob(store: Store, realisation: Realisation) -> Path:
    return Layout(store.layout).blob_path(realisation.blob)


def _report(
    lock: Lock,
    other: tuple[Layout, StoredImage] | None,
    result: BuildResult,
    layers: tuple[VerifiedLayer, ...],
    seconds: float,
) -> VerifyReport:
    expected_id: Digest
    expected_manifest: Digest | None
    expected_base: ImageResult | None = None
    base: ImageResult | None = None
    if other is not None:
        _, image = other
        expected_id, expected_manifest = image.id, image.manifest.digest
        # a layout does not say which compressor wrote it, so other bytes prove nothing
        manifest_equal = True if expected_manifest == result.manifest_digest else None
        mismatches = _mismatches(layers, image.id, result.image_id)
    else:
        recorded: ImageResult | None = lock.image
        assert recorded is not None  # looked at before anything was built
        expected_id, expected_manifest = recorded.id, recorded.manifest
        same_compressor = recorded.compressor == result.compressor
        manifest_equal = recorded.manifest == result.manifest_digest if same_compressor else None
        mismatches = result.mismatches
        expected_base, base = lock.image_base, result.image_base
    return VerifyReport(
        release=result.release,
        platform=result.platform,
        reproducible=not mismatches,
        mismatches=mismatches,
        expected_image_id=expected_id,
        image_id=result.image_id,
        expected_manifest_digest=expected_manifest,
        manifest_digest=result.manifest_digest,
        manifest_equal=manifest_equal,
        expected_base_image_id=expected_base.id if expected_base else None,
        base_image_id=base.id if base else None,
        layers=layers,
        seconds=seconds,
    )


def _mismatches(layers: tuple[VerifiedLayer, ...], expected: Digest, found: Digest) -> tuple[str, ...]:
    """What differs from an image that is no lock's, a line each."""
    lines = [f"layer {layer.name}: {layer.found}, expected {layer.expected}" for layer in layers if not layer.equal]
    if found != expected:
        lines.append(f"image ID: {found}, expected {expected}")
    return tuple(lines)
