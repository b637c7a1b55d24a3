"""The verb: from a release in the store to sizes by layer, package and file. Of images it reads the layers alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rtbuild.derivations.plan import plan_release
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.inventory.contents import LayerContents, Owner, owner_of, read_contents
from rtbuild.inventory.model import FileSize, ImageSize, LayerSize, PackageSize
from rtbuild.oci.layout import Layout
from rtbuild.platform import Platform, host_platform
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace


def measure_release(workspace: Workspace, release: str, *, platform: Platform | None = None, store: Store) -> ImageSize:
    """What takes the space in `release` (`8.0` or `8.0.0`) for `platform` (default: this machine's), as `store` has it.

    Raises `StoreError` where a layer is not built, or its key not the one of today's lock and recipes; `IntegrityError`
    for a damaged layer; and what reading the workspace does.
    """
    recipe = workspace.release(release)
    target = platform or host_platform()
    recipe.require_platform(target)
    plan = plan_release(recipe, workspace.read_lock(recipe.version, target), store)
    built: list[Realisation] = []
    for layer in plan.layers:
        if layer.realisation is None:
            raise StoreError(
                f"{recipe.version} for {target} is not in {store.root}: layer {layer.name}",
                details=layer.reason,
                hint=f"build it first: rtbuild build {recipe.version} --platform {target}",
            )
        built.append(layer.realisation)
    layout = Layout(store.layout)

    def read(realisation: Realisation) -> LayerContents:
        try:
            return read_contents(layout.blob_path(realisation.blob))
        except IntegrityError as error:
            hint = "rtbuild store verify removes what is damaged, the next build makes it again"
            raise IntegrityError(
                f"layer {realisation.layer}: {error.brief}", details=error.details, hint=hint
            ) from None

    # Decompressing leaves Python's lock; the largest layer first, because it takes longest.
    with ThreadPoolExecutor(min(len(built), os.cpu_count() or 1)) as pool:
        reading = {one.layer: pool.submit(read, one) for one in sorted(built, key=lambda one: -one.size)}
        contents = [reading[one.layer].result() for one in built]
    return ImageSize(release=recipe.version, platform=str(target), layers=_layers(built, contents))


def _layers(built: Sequence[Realisation], contents: Sequence[LayerContents]) -> tuple[LayerSize, ...]:
    layers = []
    for index, realisation in enumerate(built):
        # A path's owner may be told in a layer below: what a script of this one wrote over.
        maps = [one.owners for one in reversed(contents[: index + 1])]
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
