"""The Python layers alone: wheels composed and compiled, against pip's install, which compiles too."""

from __future__ import annotations

from collections.abc import Iterator

from bench.ground import Ground
from bench.measure import Measure, in_turns, load_average
from bench.rival import Rival


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """No tree is in the store; the Debian layers are."""
    store = ground.warm_store
    names = [layer.name for layer in ground.release.python_layers]

    def ours() -> float:
        ground.forget(store, *names, trees=True)
        return ground.build(store).seconds

    rival.unchanged()
    load = load_average()
    mine, theirs = in_turns(ground.runs(3), ours, rival.pip_layer)
    yield Measure(
        name=f"{' + '.join(names)}, {len(ground.lock.pythons)} wheels",
        ours=mine,
        theirs=theirs,
        rival="docker build, the pip instruction again",
        target=19,
        load=load,
        runs=ground.runs(3),
    )
