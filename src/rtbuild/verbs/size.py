"""The `size` verb: what takes the space in a release in the store, by layer, package and file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rtbuild.derivations.plan import plan_release
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.inventory.contents import LayerContents, Owner, owner_of, read_contents
from rtbuild.inventory.model import FileSize, ImageSize, LayerSize, PackageSize
from rtbuild.platform import Platform
from rtbuild.settings import Settings, load_settings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.workspace import LockedRelease, Workspace


def size(
    workspace: Workspace, release: str, *, platform: Platform | None = None, settings: Settings | None = None
) -> ImageSize:
    """Measure what takes the space in a release that is built, by layer, package and file.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform to measure; this machine's by default.
        settings: Where the store is; by default that of `rtbuild.toml` in the workspace.

    Raises:
        StoreError: if a layer is not built, or was built from other recipes or another lock.
        IntegrityError: if a layer is damaged.
        RecipeError: if a recipe is missing or malformed.
        LockError: if the lock is missing or malformed.
    """
    settings = settings or load_settings({}, workspace.root)
    locked = workspace.read(release, platform)
    store = Store.read_only(settings.store)
    realisations = built_layers(locked, store)
    contents = _read_layers(realisations, store)
    return ImageSize(
        release=locked.release.version, platform=str(locked.lock.platform), layers=_layers(realisations, contents)
    )


def built_layers(locked: LockedRelease, store: Store) -> list[Realisation]:
    """Return the layers of a release in the store, bottom first.

    Raises:
        StoreError: if one is not built, or was built from other recipes or another lock.
    """
    release, lock = locked.release, locked.lock
    realisations: list[Realisation] = []
    for planned in plan_release(release, lock, store).layers:
        if planned.realisation is None:
            raise StoreError(
                f"{release.version} for {lock.platform} is not in {store.root}: layer {planned.name}",
                details=planned.reason,
                hint=f"build it first: rtbuild build {release.version} --platform {lock.platform}",
            )
        realisations.append(planned.realisation)
    return realisations


def _read_layers(realisations: Sequence[Realisation], store: Store) -> list[LayerContents]:
    layout = store.layout

    def read(realisation: Realisation) -> LayerContents:
        try:
            return read_contents(layout.blob_path(realisation.blob))
        except IntegrityError as error:
            hint = "remove it with: rtbuild store verify; the next build rebuilds it"
            raise IntegrityError(
                f"layer {realisation.layer}: {error.brief}", details=error.details, hint=hint
            ) from None

    # Decompressing releases the GIL; the largest layer first, because it takes longest.
    with ThreadPoolExecutor(min(len(realisations), os.cpu_count() or 1)) as pool:
        largest_first = sorted(realisations, key=lambda realisation: -realisation.size)
        reading = {realisation.layer: pool.submit(read, realisation) for realisation in largest_first}
        return [reading[realisation.layer].result() for realisation in realisations]


def _layers(realisations: Sequence[Realisation], contents: Sequence[LayerContents]) -> tuple[LayerSize, ...]:
    layers = []
    for index, realisation in enumerate(realisations):
        # The owner of a path may be known from a layer below, if a script of this one overwrote the file.
        maps = [layer.owners for layer in reversed(contents[: index + 1])]
        packages = _packages(contents[index].files, maps)
        layers.append(
            LayerSize(
                name=realisation.layer,
                size=sum(package.size for package in packages),
                archive=realisation.size,
                compressed=realisation.blob_size,
                packages=packages,
            )
        )
    return tuple(layers)


def _packages(files: Sequence[FileSize], maps: Sequence[dict[str, Owner]]) -> tuple[PackageSize, ...]:
    groups: dict[Owner, list[FileSize]] = {}
    for file in files:
        groups.setdefault(owner_of(file.path, maps), []).append(file)
    packages = [
        PackageSize(
            name=owner.name,
            version=owner.version,
            kind=owner.kind,
            size=sum(file.size for file in owned),
            compiled=sum(file.size for file in owned if file.path.endswith(".pyc")),
            files=tuple(sorted(owned, key=lambda file: (-file.size, file.path))),
        )
        for owner, owned in groups.items()
    ]
    return tuple(sorted(packages, key=lambda package: (-package.size, package.name)))
