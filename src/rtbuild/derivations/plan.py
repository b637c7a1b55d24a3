"""Plan a build: which layers it would build and why. A dry run that needs neither an engine nor a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from rtbuild.derivations.derivation import Derivation, derive
from rtbuild.digest import DiffId, Key, Sha256
from rtbuild.lockfile.model import Lock
from rtbuild.recipe.model import Layer, Release
from rtbuild.store.realisation import Realisation

State = Literal["cached", "recompress", "build"]

_SHOWN_CHANGES = 3


class Records(Protocol):
    """The part of the store that planning reads."""

    def realisation(self, key: Key, compressor: str | None = None) -> Realisation | None:
        """Return the realisation of `key` by `compressor`, otherwise one by another, if there is one."""

    def has_layer(self, realisation: Realisation) -> bool:
        """Return whether the blob of the layer is in the store."""

    def latest(self, release: str, platform: str, layer: str) -> Realisation | None:
        """Return the last recorded realisation of that layer, whatever its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLayer:
    """A layer of a plan.

    Attributes:
        name: The name of the layer.
        state: `cached`, `recompress` (it is in the store, but another compressor wrote it) or `build`.
        reason: Why it has to be built, or that it is in the store.
        layer: The layer.
        derivation: Its derivation; None while the output of its parent is unknown.
        realisation: Its record in the store, unless the state is `build`.
    """

    name: str
    state: State
    reason: str
    layer: Layer
    derivation: Derivation | None
    realisation: Realisation | None

    @property
    def key(self) -> Key | None:
        """The key of the layer; None while the output of its parent is unknown."""
        return self.derivation.key if self.derivation else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The layers of a release for one platform, bottom first.

    `stale` lists how the lock no longer matches the recipes, one text each; a stale lock is not built. The `plan` verb
    alone fills it in: a build checks that before it plans, and a list of what is built does not need it.
    """

    release: str
    platform: str
    layers: tuple[PlannedLayer, ...]
    stale: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[PlannedLayer, ...]:
        """The layers that have to be built."""
        return tuple(layer for layer in self.layers if layer.state == "build")


def plan_release(release: Release, lock: Lock, records: Records, *, compressor: str | None = None) -> Plan:
    """Plan every layer of `release` from its lock and the records of the store.

    With `compressor`, a layer that only another compressor has written is planned to be recompressed.

    Raises:
        LockError: if the lock does not have the Python of the release.
    """
    outputs: dict[str, DiffId] = {}
    recorded = {result.name: result for result in lock.layers}
    planned = []
    for layer in release.layers:
        derivation = derive(release, lock, layer, outputs)
        realisation = records.realisation(derivation.key, compressor) if derivation else None
        if realisation and not records.has_layer(realisation):
            realisation = None
        state: State
        if realisation and compressor in (None, realisation.compressor):
            state, reason = "cached", "in the store"
        elif realisation:
            state, reason = "recompress", f"in the store, but compressed with {realisation.compressor}"
        else:
            state, reason = "build", _why(release, lock, layer, derivation, records)
        if realisation:
            outputs[layer.name] = realisation.diff_id
        elif derivation and (result := recorded.get(layer.name)) and result.key == derivation.key:
            # If the lock records the parent's output, the key of the layer above is known before the parent is built.
            outputs[layer.name] = result.diff_id
        planned.append(
            PlannedLayer(
                name=layer.name, state=state, reason=reason, layer=layer, derivation=derivation, realisation=realisation
            )
        )
    return Plan(release=release.version, platform=str(lock.platform), layers=tuple(planned))


def _why(release: Release, lock: Lock, layer: Layer, derivation: Derivation | None, records: Records) -> str:
    if derivation is None:
        return f"layer {getattr(layer, 'parent', None)} must be built first"
    before = records.latest(release.version, str(lock.platform), layer.name)
    if before is None:
        return "never built in this store"
    if before.key == derivation.key:
        return "its blob is missing from the store"
    return changed_inputs(dict(before.inputs), dict(derivation.inputs))


def changed_inputs(before: Mapping[str, Sha256], now: Mapping[str, Sha256]) -> str:
    """Return a short text that names the differences between two sets of inputs."""
    texts = [f"{name} changed" for name in now if name in before and now[name] != before[name]]
    texts += [f"{name} added" for name in now if name not in before]
    texts += [f"{name} removed" for name in before if name not in now]
    if not texts:
        return "rtbuild's schema or the order of inputs changed"
    more = len(texts) - _SHOWN_CHANGES
    return ", ".join(texts[:_SHOWN_CHANGES]) + (f" and {more} more" if more > 0 else "")
