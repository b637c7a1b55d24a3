"""Fetching every artifact over the network, against curl with as many connections and no checks.

The network decides about both, so the target is a share of what curl reaches.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.ground import RELEASE, BenchError, Ground
from bench.ground import run as run_command
from bench.measure import Measure, in_turns, load_average, timed
from bench.rival import Rival
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.find import find_mirrors
from rtbuild.mirror.locations import Locations
from rtbuild.mirror.remote import open_web


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """The same files from the same mirrors. curl is told all addresses beforehand; rtbuild has to find them."""
    if ground.quick:
        return
    if shutil.which("curl") is None:
        raise BenchError("curl is not installed: apt-get install curl")
    artifacts = {artifact.sha256: artifact for artifact in ground.lock.remote}
    size = sum(artifact.size for artifact in artifacts.values()) / 1e6
    config = ground.folder / "curl.conf"
    lines = []
    with closing(open_web(ground.settings)) as web:
        places = Locations(find_mirrors(ground.settings), AnswerCache(ground.folder / "answers", web))
        for artifact in artifacts.values():
            address = next(places.locations(places.mirrors_for(artifact)[0], artifact))
            lines.append(f'url = "{address}"\noutput = "{artifact.sha256}"\n')
    config.write_text("".join(lines))

    def ours() -> float:
        store = ground.folder / "store-fetch"
        shutil.rmtree(store, ignore_errors=True)
        return ground.rtbuild("fetch", RELEASE, store=store).seconds

    def theirs() -> float:
        return timed(lambda: _curl(config, ground.folder / "curl", ground.settings.connections))

    load = load_average()
    mine, other = in_turns(2, ours, theirs)
    yield Measure(
        name=f"fetch {len(artifacts)} files, {size:.0f} MB",
        ours=size / mine,
        unit="MB/s",
        theirs=size / other,
        rival="curl --parallel",
        target=round(0.7 * size / other),
        load=load,
        runs=2,
    )


def _curl(config: Path, folder: Path, connections: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    options = ("--silent", "--show-error", "--fail", "--location", "--parallel")
    run_command(["curl", *options, "--parallel-max", str(connections), "--config", config], cwd=folder)
