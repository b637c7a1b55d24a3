"""A cold build of the whole release, its memory, and where the time goes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.ground import Ground, Run
from bench.measure import Measure, Table, load_average
from bench.rival import Rival


def run(ground: Ground, rival: Rival) -> Iterator[Measure | Table]:
    """Empty store but for the artifacts, against mmdebstrap and a Dockerfile."""
    load = load_average()
    builds: list[Run] = []
    theirs: list[float] = []
    for _ in range(ground.runs(3)):
        store = ground.new_store()
        builds.append(ground.build(store, watch=True))
        theirs.append(rival.cold())
    ours = statistics.median(build.seconds for build in builds)
    yield Measure(
        name="cold build",
        ours=ours,
        theirs=statistics.median(theirs),
        rival="mmdebstrap, then a Dockerfile with apt-get and pip",
        target=27,
        load=load,
        runs=len(builds),
    )
    peak = {kind: max(build.peaks[kind] for build in builds) for kind in builds[0].peaks}
    yield Measure(name="peak memory, cold build", ours=peak["rtbuild"], unit="MB", target=300, load=load)
    yield Measure(name="peak memory of docker and buildx", ours=peak["docker and buildx"], unit="MB", load=load)
    fastest = min(builds, key=lambda build: build.seconds)
    yield _where(fastest, "Where the time of a cold build goes")
    steps = Table(title="Where the time of the Dockerfile goes", columns=("step", "seconds"))
    steps.rows = [(name, f"{seconds:.1f}") for name, seconds in rival.steps.items()]
    yield steps
    load = load_average()
    plain = ground.build(store)
    loaded = ground.build(store, "--load")
    yield Measure(name="load the image into Docker", ours=loaded.seconds - plain.seconds, target=2.6, load=load)


def _where(build: Run, title: str) -> Table:
    """The tasks of a build, with their beginning and end. Some run beside each other."""
    table = Table(title=title, columns=("task", "from (s)", "to (s)"))
    begun: dict[str, float] = {}
    for event in build.events:
        if event.text.endswith(" ..."):
            begun[event.text.removesuffix(" ...").partition(" (")[0]] = event.at
        else:
            task = event.text.rpartition(": ")[0]
            if task in begun:
                table.rows.append((task, f"{begun[task]:.1f}", f"{event.at:.1f}"))
    table.rows.append(("all", "0.0", f"{build.seconds:.1f}"))
    return table
