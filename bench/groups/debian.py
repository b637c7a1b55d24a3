"""The Debian layers alone, against mmdebstrap with the same packages."""

from __future__ import annotations

from collections.abc import Iterator

from bench.ground import Ground
from bench.measure import Measure, in_turns, load_average, timed
from bench.rival import Rival


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """The bottom layer, and then all of them; whatever else the release has is in the store."""
    names = [layer.name for layer in ground.release.debian_layers]
    store = ground.warm_store
    for layers, target in ((names[:1], None), (names, 14)):
        packages = tuple(deb.name for deb in ground.lock.debs if deb.layer in layers)

        def ours(layers: list[str] = layers) -> float:
            ground.forget(store, *layers)
            return ground.build(store).seconds

        def theirs(packages: tuple[str, ...] = packages) -> float:
            return timed(lambda: rival.bootstrap("essential", packages, ground.folder / "same.tar"))

        rival.debs  # noqa: B018 (fetched and linked before the clock runs)
        load = load_average()
        mine, other = in_turns(ground.runs(3), ours, theirs)
        yield Measure(
            name=f"{' + '.join(layers)}, {len(packages)} packages",
            ours=mine,
            theirs=other,
            rival="mmdebstrap, same packages",
            target=target,
            load=load,
            runs=ground.runs(3),
        )
