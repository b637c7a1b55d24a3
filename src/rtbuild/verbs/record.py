"""What has to be true of a build before a lock may record it: no private keys, and the same again from nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rtbuild.errors import BuildError, NotReproducibleError
from rtbuild.layers.build import RealisedLayer
from rtbuild.layers.scripts import private_keys
from rtbuild.lockfile.model import Lock
from rtbuild.oci.compare import Difference, compare_layers
from rtbuild.recipe.model import DebianLayer
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuildResult, build_locked
from rtbuild.verbs.verify import lend_artifacts
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.workspace import LockedRelease

_SHOWN = 40
"""Files that an error names."""


def require_no_private_keys(
    locked: LockedRelease, layers: Sequence[RealisedLayer], environment: BuildEnvironment
) -> None:
    """Refuse a layer with private keys that the scripts of packages made.

    Raises:
        BuildError: if there is one; the details name the files.
    """
    debian = {layer.name for layer in locked.release.layers if isinstance(layer, DebianLayer)}
    found = [
        (layer.realisation.layer, path)
        for layer in layers
        if layer.realisation.layer in debian
        for path in private_keys(environment.layout.blob_path(layer.realisation.blob))
    ]
    if found:
        raise BuildError(
            f"{locked.lock_name}: nothing is recorded, because scripts of packages made private keys",
            details="\n".join(f"layer {name}: {path}" for name, path in found),
            hint=f"remove them with `removals` in recipes/layers/{found[0][0]}.toml; containers make their own",
        )


def require_same_again(locked: LockedRelease, layers: Sequence[RealisedLayer], environment: BuildEnvironment) -> None:
    """Build the release once more, in an empty store, and compare the layers.

    Raises:
        NotReproducibleError: if a layer differs; the details name the files.
        RtbuildError: if the build fails; see `build`.
    """
    environment.progress.note("building a second time, in an empty store, before the digests are recorded")
    with _empty(locked.lock, environment) as fresh:
        # Without what an earlier build recorded: this one may have another compressor.
        unrecorded = replace(locked, lock=replace(locked.lock, layers=(), image=None, image_base=None))
        second = build_locked(unrecorded, fresh)
        found = _differences([layer.realisation for layer in layers], second, environment, fresh)
    if found:
        names = sorted({name for name, _ in found})
        lines = [f"layer {name}: {difference.path}  {difference.what}" for name, difference in found]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
        raise NotReproducibleError(
            f"{locked.lock_name}: nothing is recorded, because a second build differs in layer {', '.join(names)}",
            details="\n".join(lines),
            hint=f"remove the files with `removals` in recipes/layers/{names[0]}.toml if nobody needs them",
        )
    environment.progress.note("the second build is equal")


@contextmanager
def _empty(lock: Lock, environment: BuildEnvironment) -> Iterator[BuildEnvironment]:
    """Yield an environment with a store of its own, which has the artifacts alone."""
    with environment.store.temporary("record") as folder:
        store = Store.open(folder / "store", environment.progress)
        lend_artifacts(lock.remote, environment.store, store)
        yield BuildEnvironment(
            store=store,
            settings=replace(environment.settings, store=store.root),
            open_engine=lambda: environment.engine,
            progress=environment.progress,
        )


def _differences(
    first: Sequence[Realisation], second: BuildResult, environment: BuildEnvironment, fresh: BuildEnvironment
) -> list[tuple[str, Difference]]:
    """Return what differs in each layer, with the layer's name."""
    again = {layer.name: layer for layer in second.layers}
    found: list[tuple[str, Difference]] = []
    for realisation in first:
        other = again[realisation.layer]
        if other.diff_id == realisation.diff_id:
            continue
        rebuilt = fresh.store.realisation(other.key, realisation.compressor)
        assert rebuilt is not None  # it was built there just now
        differences = compare_layers(
            environment.layout.blob_path(realisation.blob), fresh.layout.blob_path(rebuilt.blob)
        )
        found += [(realisation.layer, difference) for difference in differences]
    return found
