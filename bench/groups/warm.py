"""Nothing changed, and how soon the quick commands answer."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.ground import RELEASE, ROOT, Ground, user_environment
from bench.ground import run as run_command
from bench.measure import Measure, in_turns, load_average, timed
from bench.rival import Rival


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """A build whose layers are all there; a plan, a list and the help."""
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
        target=0.22,
        load=load,
        runs=runs,
    )
    targets = {("plan", RELEASE): None, ("list",): 0.2, ("--help",): 0.15}
    for words, target in targets.items():
        load = load_average()
        _seconds(*words, store=store)  # writes the .pyc files
        ours = statistics.median(_seconds(*words, store=store) for _ in range(runs))
        yield Measure(name=words[0], ours=ours, target=target, load=load, runs=runs)


def _seconds(*words: str, store: Path) -> float:
    """How long a command takes from its start to its exit."""
    command = [sys.executable, "-m", "rtbuild", *words, "--store", str(store), "--workspace", str(ROOT)]
    return timed(lambda: run_command(command, environment=user_environment()))
