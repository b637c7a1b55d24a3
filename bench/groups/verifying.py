"""The whole proof: everything again from nothing, compared with the lock."""

from __future__ import annotations

from collections.abc import Iterator

from bench.ground import RELEASE, Ground
from bench.measure import Measure, load_average
from bench.rival import Rival


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """Nothing else does this; what it costs is one cold build and the comparison."""
    if ground.quick:
        return
    store = ground.warm_store
    load = load_average()
    yield Measure(name="verify", ours=ground.rtbuild("verify", RELEASE, store=store).seconds, load=load)
