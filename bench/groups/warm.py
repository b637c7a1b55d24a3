"""Nothing changed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.ground import Ground
from bench.measure import Measure, in_turns, load_average
from bench.rival import Rival


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """A build whose layers are all there, and a plan."""
    store = ground.warm_store
    rival.unchanged()
    runs = ground.runs(7)
    load = load_average()
    ours, theirs = in_turns(runs, lambda: ground.build(store).seconds, rival.unchanged)
    yield Measure(
        name="nothing changed",
        ours=ours,
        theirs=theirs,
        rival="docker build, everything cached",
        target=1,
        load=load,
        runs=runs,
    )
    load = load_average()
    plans = [ground.rtbuild("plan", "8.0.0", store=store).seconds for _ in range(runs)]
    yield Measure(name="plan", ours=statistics.median(plans), load=load, runs=runs)
