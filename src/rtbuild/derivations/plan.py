"""What a build would do, and why: a dry run that touches no engine and no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from rtbuild.derivations.derivation import Derivation, derive
from rtbuild.digest import DiffId, Key, Sha256
from rtbuild.lockfile.check import stale_parts
from rtbuild.lockfile.model import Lock
from rtbuild.recipe.model import Layer, Release
from rtbuild.store.realisation import Realisation

State = Literal["cached", "build"]

_SHOWN_CHANGES = 3


class Records(Protocol):
    """What a plan asks of the store."""

    def realisation(self, key: Key) -> Realisation | None:
        """The record of what came out of `key`."""

    def has_layer(self, realisation: Realisation) -> bool:
        """Whether the store still holds the layer's blob."""

    def latest(self, release: str, platform: str, layer: str) -> Realisation | None:
        """The last recorded realisation of that layer, whatever its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLayer:
    """One layer of a plan.

    `derivation` is None while its parent's output is unknown; `realisation` is set when `cached`.
    """

    name: str
    state: State
    reason: str
    layer: Layer
    derivation: Derivation | None
    realisation: Realisation | None

    @property
    def key(self) -> Key | None:
        """The derivation's key, where it is known."""
        return self.derivation.key if self.derivation else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The layers of one (release, platform), bottom first.

    `stale` says, a line each, what of the lock does not fit the recipes any more: a build refuses such a lock.
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
    """Plan every layer of `release` from its lock and what the store holds.

    With `compressor`, a layer that the store holds in another compressor's spelling counts as missing.
    Raises `LockError` where the lock has not the Python that the release names.
    """
    outputs: dict[str, DiffId] = {}
    recorded = {result.name: result for result in lock.layers}
    planned = []
    for layer in release.layers:
        derivation = derive(release, lock, layer, outputs)
        realisation = records.realisation(derivation.key) if derivation else None
        if realisation and not records.has_layer(realisation):
            realisation = None
        recompress = realisation is not None and compressor is not None and realisation.compressor != compressor
        if derivation and realisation and not recompress:
            outputs[layer.name] = realisation.diff_id
            state: State = "cached"
            reason = "the store holds it"
        else:
            state = "build"
            reason = (
                f"the store holds it as {realisation.compressor} wrote it"
                if realisation and recompress
                else _why(release, lock, layer, derivation, records)
            )
            result = recorded.get(layer.name)
            # an upper layer's key can be told before its parent is built where the lock says what the parent gives
            if derivation and result and result.key == derivation.key:
                outputs[layer.name] = result.diff_id
            realisation = None
        planned.append(
            PlannedLayer(
                name=layer.name, state=state, reason=reason, layer=layer, derivation=derivation, realisation=realisation
            )
        )
    return Plan(
        release=release.version,
        platform=str(lock.platform),
        layers=tuple(planned),
        stale=stale_parts(release, lock),
    )


def _why(release: Release, lock: Lock, layer: Layer, derivation: Derivation | None, records: Records) -> str:
    if derivation is None:
        return f"layer {getattr(layer, 'parent', None)} is built first"
    before = records.latest(release.version, str(lock.platform), layer.name)
    if before is None:
        return "never built into this store"
    if before.key == derivation.key:
        return "its blob is gone from the store"
    return changed_inputs(dict(before.inputs), dict(derivation.inputs))


def changed_inputs(before: Mapping[str, Sha256], now: Mapping[str, Sha256]) -> str:
    """A short text that names what differs between two sets of inputs."""
    texts = [f"{name} changed" for name in now if name in before and now[name] != before[name]]
    texts += [f"{name} added" for name in now if name not in before]
    texts += [f"{name} removed" for name in before if name not in now]
    if not texts:
        return "rtbuild's own rules or the order of inputs changed"
    more = len(texts) - _SHOWN_CHANGES
    return ", ".join(texts[:_SHOWN_CHANGES]) + (f" and {more} more" if more > 0 else "")
