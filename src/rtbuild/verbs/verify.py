"""The `verify` verb: read an image whole, rebuild its release from nothing, and compare both with the lock."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rtbuild.engine import select
from rtbuild.errors import LockError, StoreError, UsageError
from rtbuild.files import link_file
from rtbuild.lockfile.model import Artifact, Lock
from rtbuild.oci.archive import FolderSource, ImageSource, StoredSource, TarSource, tar_file
from rtbuild.oci.names import is_called
from rtbuild.oci.read_image import ReadImage, Reading, read_images
from rtbuild.platform import Platform, parse_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import build_locked, open_environment
from rtbuild.verbs.comparison import (
    ImagePair,
    Rebuilt,
    compare_lock_with_rebuild,
    compare_with_lock,
    compare_with_rebuild,
)
from rtbuild.verbs.fetch import engine_packages
from rtbuild.verbs.verification import ReadFiles, VerifyReport, write_report
from rtbuild.workspace import LockedRelease, Workspace

_VERSION_LABEL = "org.opencontainers.image.version"
_VERSION = re.compile(r"\d+(\.\d+)*")


def verify(  # noqa: PLR0913
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    against: str | Path | None = None,
    rebuild: bool = True,
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
        against: An image of the release that is read and compared too, as for `verify_image`. Its image tagged with
            the release's version counts, or the only one it has.
        rebuild: If false, the image in the store is read and compared with the lock, and nothing is rebuilt.
        report: A folder that gets the report as text and JSON, and the layers that differ.
        progress: Listener for progress; none by default.

    Raises:
        LockError: if the lock records no digests to compare with, or is missing or malformed.
        UsageError: if `against` is not an image.
        StoreError: if the release is not in the store, and nothing is to be rebuilt.
        RtbuildError: if the build fails; see `build`.
    """
    settings = settings or load_settings({}, workspace.root)
    run = _Run(workspace=workspace, settings=settings, rebuild=rebuild, report=report, progress=progress or Silent())
    locked = workspace.read(release, platform)
    if against is not None:
        reading, source = run.read(against)
        images = _tagged(reading.images, locked.lock)
        if not images and not reading.findings:
            raise StoreError(f"{source.title}: no image is for {locked.lock.platform}")
        if len(run.pairs_of(images, locked)) > 1:
            hint = f"tag the one to compare with as {locked.lock.release}"
            raise StoreError(f"{source.title}: more than one image is for {locked.lock.platform}", hint=hint)
        return run.verify_images(replace(reading, images=images), source, release=locked)[0]
    if locked.lock.image is None:
        raise LockError(
            f"{locked.lock_name}: records no digests to verify",
            hint=f"build it first: rtbuild build {locked.lock.release} --record",
        )
    if not rebuild:
        reading, source = run.read(run.stored(locked))
        return run.verify_images(reading, source, release=locked)[0]
    begun = time.monotonic()
    with run.rebuilt(locked) as rebuilt:
        return run.finish(compare_lock_with_rebuild(locked.lock, rebuilt), begun, rebuilt)


def verify_image(  # noqa: PLR0913
    workspace: Workspace,
    image: str | Path,
    *,
    release: str | None = None,
    platform: Platform | None = None,
    settings: Settings | None = None,
    rebuild: bool = True,
    report: Path | None = None,
    progress: Progress | None = None,
) -> tuple[VerifyReport, ...]:
    """Read every byte of an image, compare it with the lock of its release, rebuild the release, and compare again.

    First every blob is hashed, every diff ID computed anew, and index, manifests and configs are compared with each
    other. If anything is not what it says it is, nothing is rebuilt and the report's `read.findings` name each place.
    Like every public verb, it takes its options as keywords.

    Args:
        workspace: The folder with recipes and locks.
        image: The folder of an OCI image layout (`oci:DIR` or a path), a tar of one or of `docker save` (a path), or
            an image in Docker (`docker:NAME`).
        release: The release that the images are; by default what their labels or names say.
        platform: Compare only the images for this platform; all are read.
        settings: Where files are kept and come from; by default those of `rtbuild.toml` in the workspace.
        rebuild: Whether to rebuild the release after reading.
        report: A folder that gets the report as text and JSON, and the layers that differ; for one report only.
        progress: Listener for progress; none by default.

    Returns:
        One report for each release and platform that the images are of. An image without ONBUILD triggers (`-base`)
        shares the report of the one with them.

    Raises:
        UsageError: if `image` is neither a folder nor a file, or its release cannot be told.
        StoreError: if there is no image, or none for `platform`.
        IntegrityError: if an archive or its index is malformed.
        EngineError: if Docker does not have the image.
        RtbuildError: if the build fails; see `build`.
    """
    settings = settings or load_settings({}, workspace.root)
    run = _Run(workspace=workspace, settings=settings, rebuild=rebuild, report=report, progress=progress or Silent())
    reading, source = run.read(image)
    if platform is not None:
        images = tuple(found for found in reading.images if found.platform == platform.name)
        if not images and not reading.findings:
            raise StoreError(f"{source.title}: no image is for {platform}")
        reading = replace(reading, images=images)
    return run.verify_images(reading, source, release=release)


def is_image(text: str) -> bool:
    """Return whether `text` names an image for `verify_image`; otherwise it names a release."""
    if text.startswith(("oci:", "docker:")) or os.sep in text:
        return True
    return not _VERSION.fullmatch(text) and Path(text).exists()


def lend_artifacts(artifacts: Iterable[Artifact], store: Store, fresh: Store) -> None:
    """Put those of `artifacts` that `store` has into `fresh`; whoever uses them hashes them first.

    Sdists of local packages are not among them: they are made again, like everything that is made.
    """
    for artifact in artifacts:
        with suppress(OSError):
            link_file(store.artifact_path(artifact.sha256), fresh.artifact_path(artifact.sha256))


# --- one verification ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one call was asked for."""

    workspace: Workspace
    settings: Settings
    rebuild: bool
    report: Path | None
    progress: Progress
    begun: float = field(default_factory=time.monotonic)

    def read(self, image: str | Path | ImageSource) -> tuple[Reading, ImageSource]:
        """Read an image whole."""
        reference = image.removeprefix("docker:") if isinstance(image, str) and image.startswith("docker:") else None
        if reference is not None:
            return self._read_docker(reference)
        source = _source(image) if isinstance(image, (str, Path)) else image
        return self._read(source), source

    def _read(self, source: ImageSource) -> Reading:
        task, outcome = f"read {source.title}", "failed"
        self.progress.begin(task)
        try:
            reading = read_images(source, jobs=self.settings.jobs)
            outcome = f"{reading.files} files"
        finally:
            self.progress.end(task, outcome)
        return reading

    def _read_docker(self, reference: str) -> tuple[Reading, ImageSource]:
        engine = select.find_docker(self.settings)
        source = TarSource(f"docker:{reference}", lambda: engine.saved(reference))
        reading = self._read(source)
        facts = engine.inspect(reference)
        known = {*reading.entries, *(image.config for image in reading.images)}
        known |= {image.manifest for image in reading.images if image.manifest is not None}
        if facts is None or facts.id not in known:
            found = facts.id if facts is not None else "gone"
            what = f"Docker's ID of the image is {found}, which is nothing that it saved"
            reading = replace(reading, findings=(*reading.findings, f"{source.title}: {what}"))
        return reading, source

    def stored(self, locked: LockedRelease) -> ImageSource:
        """Return the images of a release in the user's store.

        Raises:
            StoreError: if it has none.
        """
        store, version, platform = Store.read_only(self.settings.store), locked.lock.release, locked.lock.platform
        names = [f"{self.settings.repository}:{version}{suffix}" for suffix in ("", "-base")]
        entries = [
            entry
            for entry in (store.layout.read_index() if (store.layout.root / "index.json").exists() else ())
            if any(is_called(entry, name) for name in names)
            and (entry.platform is None or "/".join(entry.platform[:2]) == platform.name)
        ]
        if not entries:
            raise StoreError(
                f"{version} for {platform} is not in {store.root}",
                hint=f"build it first: rtbuild build {version} --platform {platform}",
            )
        return StoredSource(store.layout, entries, str(store.layout.root))

    def verify_images(
        self, reading: Reading, source: ImageSource, *, release: str | LockedRelease | None
    ) -> tuple[VerifyReport, ...]:
        """Compare images that were read with their locks, and with a rebuild of their releases."""
        read = ReadFiles(files=reading.files, size=reading.size, findings=reading.findings, notes=reading.notes)
        if reading.findings:
            return (self.finish(_report_of_findings(read, reading, source.title), self.begun),)
        if not reading.images:
            raise StoreError(f"{source.title}: has no image")
        reports = []
        begun, pairs = self.begun, self.pairs_of(reading.images, release)
        if self.report is not None and len(pairs) > 1:
            raise UsageError("a report is of one release and platform", hint="choose with --platform and --release")
        for pair in pairs:
            if self.rebuild:
                with self.rebuilt(pair.locked) as rebuilt:
                    reports.append(self.finish(compare_with_rebuild(pair, rebuilt, source, read), begun, rebuilt))
            else:
                store = Store.read_only(self.settings.store)
                reports.append(self.finish(compare_with_lock(pair, source, read, store, self.progress), begun))
            begun = time.monotonic()
        return tuple(reports)

    def pairs_of(self, images: Sequence[ReadImage], release: str | LockedRelease | None) -> list[ImagePair]:
        """Put each image with its lock; the image without ONBUILD triggers shares that of the one with them."""
        pairs: list[ImagePair] = []
        for image in images:
            if isinstance(release, LockedRelease):
                locked = release
            else:
                version = release or _release_of(image, self.workspace)
                locked = self.workspace.read(version, parse_platform(image.platform))
            if image.platform != locked.lock.platform.name:
                raise StoreError(f"{image.config}: the image is for {image.platform}, not {locked.lock.platform}")
            is_base = bool(locked.release.image.on_build) and not image.on_build
            for index, pair in enumerate(pairs):
                free = pair.base is None if is_base else pair.full is None
                if free and pair.locked.path == locked.path:
                    pairs[index] = replace(pair, base=image) if is_base else replace(pair, full=image)
                    break
            else:
                pairs.append(ImagePair(locked=locked, **{"base" if is_base else "full": image}))
        return pairs

    @contextmanager
    def rebuilt(self, locked: LockedRelease) -> Iterator[Rebuilt]:
        """Rebuild a release in a store of its own, which is removed at the end of the block."""
        store = Store.open(self.settings.store, self.progress)
        with store.temporary("verify") as folder:
            own = replace(self.settings, store=folder / "store")
            environment = open_environment(self.workspace, own, self.progress)
            fresh = environment.store
            lend_artifacts((*locked.lock.remote, *engine_packages(self.workspace)), store, fresh)
            result = build_locked(locked, environment)
            yield Rebuilt(result=result, fresh=fresh, usual=store, progress=self.progress)

    def finish(self, verified: VerifyReport, begun: float, rebuilt: Rebuilt | None = None) -> VerifyReport:
        """Add the time since `begun`, and write the report into its folder if one was asked for."""
        verified = replace(verified, seconds=time.monotonic() - begun)
        if self.report is not None:
            changed = (layer.name for layer in verified.layers if not layer.equal)
            blobs = {name: blob for name in changed if rebuilt and (blob := rebuilt.blob(name)) is not None}
            write_report(verified, self.report, blobs)
        return verified


# --- images that were read -------------------------------------------------------------------------------------------


def _source(image: str | Path) -> ImageSource:
    path = Path(image.removeprefix("oci:")) if isinstance(image, str) else image
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return tar_file(path)
    hint = "name an OCI image layout, a tar of one or of `docker save`, or an image in Docker as docker:NAME"
    raise UsageError(f"{path} is neither a folder nor a file", hint=hint)


def _tagged(images: tuple[ReadImage, ...], lock: Lock) -> tuple[ReadImage, ...]:
    """Return the images for the platform of `lock`: those tagged with the version of its release, or all if none is."""
    images = tuple(image for image in images if image.platform == lock.platform.name)
    tags = (lock.release, f"{lock.release}-base")
    tagged = tuple(image for image in images if any(name.rpartition(":")[2] in tags for name in image.names))
    return tagged or images


def _release_of(image: ReadImage, workspace: Workspace) -> str:
    known = workspace.releases()
    tags = [name.rpartition(":")[2].removesuffix("-base") for name in image.names]
    for version in (image.labels.get(_VERSION_LABEL, ""), *tags):
        if version in known:
            return version
    raise UsageError(
        f"the image {', '.join(image.names) or image.config} is of no known release",
        hint=f"name its release with --release; known releases: {', '.join(known) or 'none'}",
    )


# --- the report ------------------------------------------------------------------------------------------------------


def _report_of_findings(read: ReadFiles, reading: Reading, title: str) -> VerifyReport:
    """Return the report of an image that is not what it says it is: there is nothing to rebuild it as."""
    image = next(iter(reading.images), None)
    return VerifyReport(
        release=image.labels.get(_VERSION_LABEL, "") if image else "",
        platform=image.platform if image else "",
        reproducible=False,
        mismatches=read.findings,
        expected_image_id=None,
        image_id=None,
        expected_manifest_digest=None,
        manifest_digest=None,
        manifest_equal=None,
        expected_base_image_id=None,
        base_image_id=None,
        layers=(),
        seconds=0.0,
        subject=title,
        rebuilt=False,
        read=read,
    )
