"""The `verify` verb: rebuild a release from nothing, and compare it layer by layer with its lock or another image."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rtbuild.digest import DiffId, Digest
from rtbuild.errors import LockError, StoreError, UsageError
from rtbuild.files import link_file
from rtbuild.formats.compression import MAGIC_SIZE, compression_of
from rtbuild.lockfile.model import Artifact, LayerResult, Lock
from rtbuild.oci.compare import Difference, compare_layers
from rtbuild.oci.layout import Layout, StoredImage, read_stored_image
from rtbuild.oci.names import is_called
from rtbuild.platform import Platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuildResult, BuiltLayer, build_locked, open_environment
from rtbuild.verbs.fetch import engine_packages
from rtbuild.workspace import Workspace

_SHOWN = 20
"""Differences of one layer that the report shows as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLayer:
    """One layer: the diff ID that the lock (or the other image) records, and the one that was rebuilt.

    `differences` are named if the expected layer's bytes are available; otherwise `note` says why they are not.
    """

    name: str
    expected: DiffId | None
    found: DiffId | None
    differences: tuple[Difference, ...] = ()
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether the bytes are the expected ones."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        release: The version, such as `8.0.0`.
        platform: The platform, such as `linux/amd64`.
        reproducible: Whether nothing differs.
        mismatches: Everything that differs, one line each, the image without ONBUILD triggers included.
        expected_image_id: The image ID that the lock (or the other image) has.
        image_id: The image ID that was rebuilt.
        expected_manifest_digest: The manifest digest that the lock (or the other image) has.
        manifest_digest: The manifest digest that was rebuilt.
        manifest_equal: Whether the two are equal; None if another compressor wrote the expected blobs.
        expected_base_image_id: The same as `expected_image_id` for the image without ONBUILD triggers; None if there is
            none, or if an image layout was compared with.
        base_image_id: The ID of that image as it was rebuilt.
        layers: The layers, bottom first.
        seconds: How long the verification took.
    """

    release: str
    platform: str
    reproducible: bool
    mismatches: tuple[str, ...]
    expected_image_id: Digest
    image_id: Digest
    expected_manifest_digest: Digest | None
    manifest_digest: Digest
    manifest_equal: bool | None
    expected_base_image_id: Digest | None
    base_image_id: Digest | None
    layers: tuple[VerifiedLayer, ...]
    seconds: float


def verify(  # noqa: PLR0913
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    against: Path | None = None,
    report: Path | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Rebuild a release in an empty store, without the engine's cache, and compare it with its lock.

    Artifacts in the user's store are reused, each hashed again before use; everything else is rebuilt. Like every
    public verb, it takes its options as keywords.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform to rebuild for; this machine's by default.
        settings: Where files are kept and come from; by default those of `rtbuild.toml` in the workspace.
        against: A folder with an OCI image layout to compare with instead of the lock. Its image tagged with the
            release's version counts, or the only one it has.
        report: A folder that gets the report as text and JSON, and the layers that differ.
        progress: Listener for progress; none by default.

    Raises:
        LockError: if the lock records no digests to compare with, or is missing or malformed.
        UsageError: if `against` is not a folder.
        RtbuildError: if the build fails; see `build`.
    """
    begun = time.monotonic()
    progress = progress or Silent()
    settings = settings or load_settings({}, workspace.root)
    locked = workspace.read(release, platform)
    lock = locked.lock
    store = Store.open(settings.store, progress)
    if against is not None:
        expected = _expected_of_image(*_image_in(against, lock.release, lock.platform))
    elif lock.image is not None:
        expected = _expected_of_lock(lock, store)
    else:
        raise LockError(
            f"{locked.lock_name}: records no digests to verify",
            hint=f"build it first: rtbuild build {lock.release} --record",
        )
    with store.temporary("verify") as folder:
        environment = open_environment(workspace, replace(settings, store=folder / "store"), progress)
        fresh = environment.store
        lend_artifacts((*lock.remote, *engine_packages(workspace)), store, fresh)
        result = build_locked(locked, environment)
        layers = _compare_layers(expected, result, fresh, progress)
        verified = _report(expected, result, layers, time.monotonic() - begun)
        if report is not None:
            write_report(verified, report, changed_blobs(fresh, result, layers))
    return verified


def lend_artifacts(artifacts: Iterable[Artifact], store: Store, fresh: Store) -> None:
    """Put those of `artifacts` that `store` has into `fresh`; whoever uses them hashes them first.

    Sdists of local packages are not among them: they are made again, like everything that is made.
    """
    for artifact in artifacts:
        with suppress(OSError):
            link_file(store.artifact_path(artifact.sha256), fresh.artifact_path(artifact.sha256))


# --- what is expected ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What the rebuilt image is compared with.

    `layers` are names and diff IDs bottom first; the layers of a layout have no names (None). `blobs` are the files of
    layers by diff ID, as far as they are available. `lock` is None for an image layout.
    """

    image_id: Digest
    manifest: Digest
    layers: tuple[tuple[str | None, DiffId], ...]
    blobs: Mapping[DiffId, Path]
    lock: Lock | None = None


def _expected_of_lock(lock: Lock, store: Store) -> _Expected:
    assert lock.image is not None  # the caller has checked it
    blobs = {layer.diff_id: blob for layer in lock.layers if (blob := _recorded_blob(store, layer)) is not None}
    return _Expected(
        image_id=lock.image.id,
        manifest=lock.image.manifest,
        layers=tuple((layer.name, layer.diff_id) for layer in lock.layers),
        blobs=blobs,
        lock=lock,
    )


def _recorded_blob(store: Store, layer: LayerResult) -> Path | None:
    """Return the blob of the very layer that the lock records, if the user's store has it."""
    realisation = store.realisation(layer.key)
    if realisation is None or realisation.diff_id != layer.diff_id or not store.has_layer(realisation):
        return None
    return _blob(store, realisation)


def _image_in(folder: Path, version: str, platform: Platform) -> tuple[Layout, StoredImage]:
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder", hint="--against takes an OCI image layout, as build --output writes"
        )
    layout = Layout.open(folder)
    os_name, architecture = platform.name.split("/")
    # `build --output` writes the image without ONBUILD triggers beside the release's own.
    tagged = any(is_called(listed, version) for listed in layout.read_index())
    return layout, read_stored_image(layout, version if tagged else None, platform=(os_name, architecture))


def _expected_of_image(layout: Layout, image: StoredImage) -> _Expected:
    blobs = zip(image.diff_ids, image.layers, strict=True)
    return _Expected(
        image_id=image.id,
        manifest=image.manifest.digest,
        layers=tuple((None, diff_id) for diff_id in image.diff_ids),
        blobs={diff_id: layout.blob_path(layer.digest) for diff_id, layer in blobs},
    )


# --- comparing -------------------------------------------------------------------------------------------------------


def _compare_layers(
    expected: _Expected, result: BuildResult, fresh: Store, progress: Progress
) -> tuple[VerifiedLayer, ...]:
    built = {layer.name: layer for layer in result.layers}
    # The layers of a layout are known by their position only.
    positions = [*built, *(f"layer {number}" for number in range(len(built) + 1, len(expected.layers) + 1))]
    wanted = {name or positions[index]: diff_id for index, (name, diff_id) in enumerate(expected.layers)}
    names = (*built, *(name for name in wanted if name not in built))
    return tuple(_compare_layer(name, wanted.get(name), built.get(name), expected, fresh, progress) for name in names)


def _compare_layer(
    name: str, wanted: DiffId | None, built: BuiltLayer | None, expected: _Expected, fresh: Store, progress: Progress
) -> VerifiedLayer:
    differences: tuple[Difference, ...] = ()
    note = ""
    if built is None:
        note = "was not built"
    elif wanted is None:
        note = "is not expected"
    elif built.diff_id != wanted:
        realisation = fresh.realisation(built.key)
        if wanted in expected.blobs and realisation is not None:
            progress.begin(f"compare {name}")
            differences = compare_layers(expected.blobs[wanted], _blob(fresh, realisation))
            progress.end(f"compare {name}", f"{len(differences)} differences")
        else:
            note = "the recorded layer is not in the store, so its files cannot be compared"
    return VerifiedLayer(
        name=name, expected=wanted, found=built.diff_id if built else None, differences=differences, note=note
    )


def _blob(store: Store, realisation: Realisation) -> Path:
    return store.layout.blob_path(realisation.blob)


# --- the report ------------------------------------------------------------------------------------------------------


def _report(
    expected: _Expected, result: BuildResult, layers: tuple[VerifiedLayer, ...], seconds: float
) -> VerifyReport:
    equal = expected.manifest == result.manifest_digest
    expected_base = base = None
    if expected.lock is not None:
        recorded = expected.lock.image
        comparable = recorded is not None and recorded.compressor == result.compressor
        mismatches = result.mismatches
        expected_base, base = expected.lock.image_base, result.image_base
    else:
        # A layout does not say which compressor wrote it, so other bytes prove nothing.
        comparable = equal
        mismatches = _image_mismatches(layers, expected.image_id, result.image_id)
    return VerifyReport(
        release=result.release,
        platform=result.platform,
        reproducible=not mismatches,
        mismatches=mismatches,
        expected_image_id=expected.image_id,
        image_id=result.image_id,
        expected_manifest_digest=expected.manifest,
        manifest_digest=result.manifest_digest,
        manifest_equal=equal if comparable else None,
        expected_base_image_id=expected_base.id if expected_base else None,
        base_image_id=base.id if base else None,
        layers=layers,
        seconds=seconds,
    )


def _image_mismatches(layers: tuple[VerifiedLayer, ...], expected: Digest, found: Digest) -> tuple[str, ...]:
    lines = [f"layer {layer.name}: {layer.found}, expected {layer.expected}" for layer in layers if not layer.equal]
    if found != expected:
        lines.append(f"image ID: {found}, expected {expected}")
    return tuple(lines)


def describe_verification(report: VerifyReport, *, limit: int | None = _SHOWN) -> str:
    """Return the report as text: each layer, and for one that differs its files, at most `limit` of them."""
    lines = [f"{report.release} for {report.platform}, rebuilt from nothing in {report.seconds:.1f} s"]
    for layer in report.layers:
        lines.append(f"  {'equal  ' if layer.equal else 'DIFFERS'} {layer.name}  {layer.found}")
        if layer.equal:
            continue
        lines.append(f"          expected {layer.expected}")
        if layer.note:
            lines.append(f"          {layer.note}")
        shown = layer.differences if limit is None else layer.differences[:limit]
        lines += [f"          {_difference_text(difference)}" for difference in shown]
        if len(shown) < len(layer.differences):
            lines.append(f"          and {len(layer.differences) - len(shown)} more")
    lines.append(f"image ID         {_digest_text(report.image_id, report.expected_image_id)}")
    manifest = _digest_text(report.manifest_digest, report.expected_manifest_digest)
    if report.manifest_equal is None:
        manifest += " (not comparable: written by another compressor)"
    lines.append(f"manifest digest  {manifest}")
    if report.base_image_id is not None:
        lines.append(f"base image ID    {_digest_text(report.base_image_id, report.expected_base_image_id)}")
    if report.reproducible:
        lines.append("reproducible")
    else:
        lines += ["NOT REPRODUCIBLE:", *(f"  {mismatch}" for mismatch in report.mismatches)]
    return "\n".join(lines)


def write_report(report: VerifyReport, folder: Path, blobs: Mapping[str, Path]) -> None:
    """Write `report.txt`, `report.json` and the rebuilt layers in `blobs` (`<name>.tar.zst`) into `folder`.

    Raises:
        StoreError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(describe_verification(report, limit=None) + "\n", encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
        for name, blob in blobs.items():
            with blob.open("rb") as stream:
                compression = compression_of(stream.read(MAGIC_SIZE))
            shutil.copyfile(blob, folder / f"{name}{compression.suffix}")
    except OSError as error:
        raise StoreError(f"cannot write the report into {folder}", details=str(error)) from None


def changed_blobs(fresh: Store, result: BuildResult, layers: tuple[VerifiedLayer, ...]) -> dict[str, Path]:
    """Return the blobs of the rebuilt layers that differ, by layer name."""
    by_name = {layer.name: layer for layer in result.layers}
    blobs: dict[str, Path] = {}
    for layer in layers:
        if layer.equal or layer.name not in by_name:
            continue
        realisation = fresh.realisation(by_name[layer.name].key)
        if realisation is not None:
            blobs[layer.name] = _blob(fresh, realisation)
    return blobs


def _difference_text(difference: Difference) -> str:
    change = f": {difference.before} -> {difference.after}" if difference.before or difference.after else ""
    return f"{difference.path}  {difference.what}{change}"


def _digest_text(found: Digest, expected: Digest | None) -> str:
    return f"{found} = expected" if found == expected else f"{found}, expected {expected}"
