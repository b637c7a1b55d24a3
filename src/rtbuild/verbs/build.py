"""The `build` verb: build the layers that the plan reports as missing, assemble the images, compare with the lock."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rtbuild.digest import DiffId, Digest, Key
from rtbuild.errors import LockError, StaleLockError
from rtbuild.layers.build import RealisedLayer, realise_layers
from rtbuild.layers.compose import Image, compose_images, list_in_store
from rtbuild.lockfile.check import stale_parts
from rtbuild.lockfile.compressor import compressor_mismatch
from rtbuild.lockfile.model import ImageResult, LayerResult, Lock
from rtbuild.lockfile.read import record_results
from rtbuild.lockfile.remedy import lock_remedy
from rtbuild.oci.names import require_name
from rtbuild.oci.transfer import require_destination
from rtbuild.platform import Platform
from rtbuild.progress import Progress, Silent, unfinished
from rtbuild.settings import Settings, load_settings
from rtbuild.store.early import keep_guess
from rtbuild.store.store import Store
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.workspace import LockedRelease, Workspace

if TYPE_CHECKING:
    from rtbuild.engine.engine import Engine


Recording = Literal["no", "once", "twice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltLayer:
    """One layer of an image. `size` is that of the uncompressed tar, in bytes.

    The state `recompressed` means that the store had the layer, but only as another compressor had written it.
    """

    name: str
    key: Key
    diff_id: DiffId
    size: int
    state: Literal["built", "cached", "recompressed"]

    def result(self) -> LayerResult:
        """Return the layer as a lock records it."""
        return LayerResult(name=self.name, key=self.key, diff_id=self.diff_id, size=self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build of one (release, platform) gave.

    Attributes:
        release: The version, such as `8.0.0`.
        platform: The platform, such as `linux/amd64`.
        image_id: The config digest: the identity that holds on every machine. A Docker with the classic image store
            calls it the image ID.
        manifest_digest: The manifest digest, which adds the bytes that `compressor` wrote. A Docker with the containerd
            image store calls it the image ID.
        manifest_size: The size of the manifest, in bytes.
        compressor: The program that compressed the layers, with its version and level.
        image_base: The same image without its ONBUILD triggers; None if the release has none.
        matches_lock: Whether every digest is the lock's; None if the lock records no digests.
        mismatches: What differs from the lock, one line each.
        recorded_compressor: The compressor of the lock's manifest digest, which counts only if it is `compressor`;
            None if the lock records no digests.
        layers: The layers, bottom first.
        images: The names of the images, as the store's layout (or `output`) lists them.
        location: The folder of the OCI image layout that holds them.
        loaded: Whether the images were loaded into Docker.
        run: The command that starts the image; None if it was not loaded.
        seconds: How long the build took.
    """

    release: str
    platform: str
    image_id: Digest
    manifest_digest: Digest
    manifest_size: int
    compressor: str
    image_base: ImageResult | None
    matches_lock: bool | None
    mismatches: tuple[str, ...]
    recorded_compressor: str | None
    layers: tuple[BuiltLayer, ...]
    images: tuple[str, ...]
    location: str
    loaded: bool = False
    run: str | None = None
    seconds: float = 0.0

    @property
    def manifest_compared(self) -> bool:
        """Whether the manifest digest was compared with the lock's; the config digest is, if the lock records it."""
        return self.recorded_compressor == self.compressor

    @property
    def config_digest(self) -> Digest:
        """The config digest: another name of `image_id`."""
        return self.image_id

    def image_result(self) -> ImageResult:
        """Return the image as a lock records it."""
        return ImageResult(id=self.image_id, manifest=self.manifest_digest, compressor=self.compressor)


def build(  # noqa: PLR0913
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    record: bool = False,
    rebuild: bool = True,
    load: bool = False,
    output: Path | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a release and compare it with its lock.

    Fetches the artifacts of missing layers, and starts a private engine if the machine has no usable Docker. A digest
    that differs from the lock is reported by `matches_lock` and `mismatches`, not raised. Like every public verb, it
    takes its options as keywords.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform to build for; this machine's by default.
        settings: Where files are kept and come from; by default those of `rtbuild.toml` in the workspace.
        record: Write the resulting digests into the lock, after a second build in an empty store gave the same.
        rebuild: With `record`, whether there is a second build.
        load: Load the images into the machine's Docker, whatever its image store; without one into the private engine.
        output: A folder that gets the images as an OCI image layout.
        progress: Listener for progress; none by default.

    Raises:
        UsageError: if the images' names are not valid.
        RecipeError: if a recipe is missing or malformed.
        LockError: if the lock is missing or malformed, or was recorded with another version of the compressor;
            `StaleLockError` if recipes changed since it was made.
        MirrorError: if no mirror serves an artifact.
        IntegrityError: if an artifact or a layer is damaged.
        EngineError: if there is no usable engine.
        BuildError: if a layer cannot be built, or is to be recorded and has private keys that scripts made.
        NotReproducibleError: if the second build before recording differs; it names the files.
        StoreError: if the store cannot be read or written, or `output` holds something else than a layout.
    """
    settings = settings or load_settings({}, workspace.root)
    locked = workspace.read(release, platform)
    environment = open_environment(workspace, settings, progress or Silent())
    recording: Recording = "no" if not record else "twice" if rebuild else "once"
    result = build_locked(locked, environment, record=recording, load=load, output=output)
    keep_guess(settings.store, release, result.platform, result.manifest_digest)
    return result


def open_environment(workspace: Workspace, settings: Settings, progress: Progress) -> BuildEnvironment:
    """Return the environment of a build: the store of `settings`, and an engine that is opened if one is needed.

    Raises:
        StoreError: if the store cannot be used.
    """
    store = Store.open(settings.store, progress)

    def open_engine() -> Engine:
        from rtbuild.verbs import engine  # here, because most builds need no engine

        return engine.open_engine(workspace, settings, store, progress)

    def open_docker() -> Engine:
        from rtbuild.verbs import engine

        return engine.open_docker(workspace, settings, store, progress)

    environment = BuildEnvironment(
        store=store, settings=settings, open_engine=open_engine, open_docker=open_docker, progress=progress
    )
    if settings.builder:
        _ = environment.engine  # a builder that does not exist is an error even if there is nothing to build
    return environment


def build_locked(
    locked: LockedRelease,
    environment: BuildEnvironment,
    *,
    record: Recording = "no",
    load: bool = False,
    output: Path | None = None,
) -> BuildResult:
    """Build a release that is read already; see `build`. `record` says after how many builds to record, if at all."""
    begun = time.monotonic()
    require_names(locked.release.version, environment.settings)
    if output is not None:
        require_destination(output)
    release, lock, settings, store = locked.release, locked.lock, environment.settings, environment.store
    _require_fresh(locked)
    if record == "no":
        require_compressor(lock, locked.lock_name, environment.compressor.name)
    # One build at a time makes each layer once; a second one finds it in the store.
    with store.exclusive(f"build {release.version} {lock.platform}", environment.progress):
        layers = realise_layers(release, lock, environment, lock_name=locked.lock_name, recording=record != "no")
        images = compose_images(release, lock, [layer.realisation for layer in layers], environment.layout)
        result = _result(lock, images, layers, environment)
        if record != "no":
            from rtbuild.verbs.record import require_no_private_keys, require_same_again

            require_no_private_keys(locked, layers, environment)
            if record == "twice":
                require_same_again(locked, layers, environment)
            results = [layer.result() for layer in result.layers]
            recorded = record_results(locked.path, results, result.image_result(), result.image_base)
            result = _result(recorded, images, layers, environment)
        list_in_store(store, images, settings.repository, lock.platform, environment.progress)
        if output is not None:
            for image in images:
                image.copy_to(environment.layout, output, settings.repository)
            result = replace(result, location=str(output.absolute()))
        if load:
            load_images(images, environment)
            run = run_command(environment.docker, result.images[0], airflow=release.airflow is not None)
            result = replace(result, loaded=True, run=run)
    return replace(result, seconds=time.monotonic() - begun)


def require_names(version: str, settings: Settings) -> None:
    """Check the names of a release's images before any work: Docker would load an image and then refuse its name.

    Raises:
        UsageError: if Docker does not take them.
    """
    for tag in (version, f"{version}-base"):
        require_name(f"{settings.repository}:{tag}")


def load_images(images: Sequence[Image], environment: BuildEnvironment) -> None:
    """Load images of the store into Docker, and report it as the task `load`."""
    progress, repository = environment.progress, environment.settings.repository
    progress.begin("load")
    outcome = ""
    try:
        docker = environment.docker
        manifests: dict[str, Digest | None] = {image.reference(repository): image.manifest.digest for image in images}
        docker.load(environment.store.layout.root, manifests)
        outcome = f"{', '.join(manifests)} in {docker.endpoint.title}"
    finally:
        progress.end("load", outcome or unfinished())


def run_command(docker: Engine, reference: str, *, airflow: bool) -> str:
    """Return the shell command that starts the image `reference`; Airflow then is at http://localhost:8080."""
    # The private engine has no bridge: its containers share the host's network.
    ports = ["-p", "8080:8080"] if airflow else []
    network = ["--network", "host"] if docker.private else ports
    command = ["airflow", "standalone"] if airflow else []
    words = docker.endpoint.spelled or docker.endpoint.command()
    return shlex.join([*words, "run", "--rm", "-it", *network, reference, *command])


def compare_with_lock(
    layers: Sequence[BuiltLayer], image: ImageResult, image_base: ImageResult | None, lock: Lock
) -> tuple[bool | None, tuple[str, ...]]:
    """Return (`matches_lock`, `mismatches`) of what was built against what a lock records.

    A layer's key does not count: it names inputs, and a newer rtbuild may name the same ones differently.
    """
    if lock.image is None:
        return None, ()
    recorded = {layer.name: layer for layer in lock.layers}
    mismatches = []
    for layer in layers:
        wanted = recorded.pop(layer.name, None)
        if wanted is None:
            mismatches.append(f"layer {layer.name}: not recorded in the lock")
        elif wanted.diff_id != layer.diff_id:
            inputs = "same inputs" if wanted.key == layer.key else "different inputs"
            mismatches.append(f"layer {layer.name} ({inputs}): {layer.diff_id}, the lock records {wanted.diff_id}")
        elif wanted.size != layer.size:
            mismatches.append(f"layer {layer.name}: {layer.size} bytes, the lock records {wanted.size}")
    mismatches += [f"layer {name}: recorded in the lock, but the image does not have it" for name in recorded]
    mismatches += _compare_images("", image, lock.image)
    mismatches += _compare_images("base ", image_base, lock.image_base)
    return not mismatches, tuple(mismatches)


def _compare_images(which: str, built: ImageResult | None, recorded: ImageResult | None) -> list[str]:
    """A manifest digest counts only if the same compressor wrote it; the config digest always counts."""
    if built is None and recorded is None:
        return []
    if recorded is None:
        return [f"{which}image: not recorded in the lock"]
    if built is None:
        return [f"{which}image: recorded in the lock, but the release has none"]
    if built.id != recorded.id:
        return [f"{which}config digest: {built.id}, the lock records {recorded.id}"]
    if built.compressor == recorded.compressor and built.manifest != recorded.manifest:
        return [f"{which}manifest digest: {built.manifest}, the lock records {recorded.manifest}"]
    return []


def _require_fresh(locked: LockedRelease) -> None:
    release, lock = locked.release, locked.lock
    stale = stale_parts(release, lock)
    if stale:
        raise StaleLockError(
            f"{locked.lock_name}: stale, the recipes changed since it was made",
            details="\n".join(stale),
            hint=lock_remedy(release.version, lock.platform).stale,
        )


def require_compressor(lock: Lock, lock_name: str, compressor: str) -> None:
    """The manifest digest is a function of the compressor's version too, so another one cannot prove the lock."""
    problem = compressor_mismatch(lock, compressor)
    if problem is None:
        return
    method, version, *_ = lock.image.compressor.split() if lock.image else ("", "")
    hint = f"install {method}=={version}, or record the digests of this one with --record"
    raise LockError(f"{lock_name}: {problem}", hint=hint)


def _result(
    lock: Lock, images: Sequence[Image], layers: Sequence[RealisedLayer], environment: BuildEnvironment
) -> BuildResult:
    compressor, repository = environment.compressor.name, environment.settings.repository
    image, *others = (image.result(compressor) for image in images)
    image_base = others[0] if others else None
    built = tuple(_built_layer(layer) for layer in layers)
    matches, mismatches = compare_with_lock(built, image, image_base, lock)
    return BuildResult(
        release=lock.release,
        platform=str(lock.platform),
        image_id=image.id,
        manifest_digest=image.manifest,
        manifest_size=images[0].manifest.size,
        compressor=compressor,
        image_base=image_base,
        matches_lock=matches,
        mismatches=mismatches,
        recorded_compressor=lock.image.compressor if lock.image else None,
        layers=built,
        images=tuple(image.reference(repository) for image in images),
        location=str(environment.store.layout.root),
    )


def _built_layer(layer: RealisedLayer) -> BuiltLayer:
    realisation = layer.realisation
    return BuiltLayer(
        name=realisation.layer,
        key=realisation.key,
        diff_id=realisation.diff_id,
        size=realisation.size,
        state="built" if layer.built else "recompressed" if layer.recompressed else "cached",
    )
