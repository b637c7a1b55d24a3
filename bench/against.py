"""Two checkouts of rtbuild against each other, in turns in one run: `python -m bench.against CHECKOUT`.

CHECKOUT is another checkout with rtbuild installed in its `.venv` (run `./bootstrap` in it). Each measure runs one
command by turns with both; a ratio below 1 says that this checkout is slower. Nothing is written but to temporary
folders and to the engine's cache.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.ground import RELEASE, ROOT, BenchError, Ground, open_ground, user_environment
from bench.measure import load_average, timed
from rtbuild.errors import RtbuildError

_LINE = "{:<44} {:>9} {:>9} {:>7} {:>5} {:>5}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A checkout, and the Python that runs its rtbuild."""

    root: Path
    python: Path

    def run(self, ground: Ground, *words: str, store: Path, workspace: Path | None = None) -> str:
        """Return what one command writes, run in its own workspace by default; raises `BenchError` if it fails."""
        folder = workspace or self.root
        command = [str(self.python), "-m", "rtbuild", *words, "-q", "--store", str(store)]
        environment = {**user_environment(), "RTBUILD_ENGINE_DIR": str(ground.settings.engine_dir)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{folder}: rtbuild {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout


Work = Callable[[Checkout], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One command to time. `work` returns the seconds it took for a checkout."""

    name: str
    runs: int
    work: Work


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other checkout")
    parser.add_argument("--python", type=Path, help="its Python [CHECKOUT/.venv/bin/python]")
    parser.add_argument("--only", action="append", help="measures whose name contains this; may be repeated [all]")
    options = parser.parse_args()
    root = options.checkout.absolute()
    other = Checkout(root=root, python=options.python or root / ".venv" / "bin" / "python")
    this = Checkout(root=ROOT, python=Path(sys.executable))
    print(_LINE.format("measure (seconds)", "other", "this", "ratio", "runs", "load"))
    try:
        with open_ground(quick=False) as ground:
            other.run(ground, "build", RELEASE, store=ground.warm_store)  # its keys may differ
            for comparison in comparisons(ground):
                if not options.only or any(text in comparison.name for text in options.only):
                    print(_compare(comparison, other, this), flush=True)
    except (BenchError, RtbuildError) as error:
        sys.exit(f"error: {error}")


def _compare(comparison: Comparison, other: Checkout, this: Checkout) -> str:
    load = load_average()
    comparison.work(other)  # both write their .pyc files and fill caches before the clock counts
    comparison.work(this)
    pairs = [(comparison.work(other), comparison.work(this)) for _ in range(comparison.runs)]
    before, now = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return _LINE.format(
        comparison.name, f"{before:.3f}", f"{now:.3f}", f"{before / now:.2f}x", comparison.runs, f"{load:.1f}"
    )


def comparisons(ground: Ground) -> Iterator[Comparison]:
    """What is compared, quick commands first."""
    warm = ground.warm_store
    python_layers = [layer.name for layer in ground.release.python_layers]

    def command(*words: str) -> Work:
        return lambda checkout: timed(partial(checkout.run, ground, *words, store=warm))

    def forgetting(*layers: str, trees: bool = False) -> Work:
        def work(checkout: Checkout) -> float:
            # Keys may differ between the checkouts.
            plan = json.loads(checkout.run(ground, "plan", RELEASE, "--json", store=warm))
            ground.forget(warm, *layers, trees=trees, plan=plan)
            return timed(partial(checkout.run, ground, "build", RELEASE, store=warm))

        return work

    def cold(checkout: Checkout) -> float:
        store = ground.new_store()
        try:
            return timed(partial(checkout.run, ground, "build", RELEASE, store=store))
        finally:
            shutil.rmtree(store)

    def fetch(checkout: Checkout) -> float:
        store = ground.folder / "store-fetch"
        shutil.rmtree(store, ignore_errors=True)
        return timed(partial(checkout.run, ground, "fetch", RELEASE, store=store))

    def refresh(checkout: Checkout) -> float:
        copy = ground.project_copy("refresh")
        return timed(partial(checkout.run, ground, "lock", RELEASE, "--refresh", store=warm, workspace=copy))

    yield Comparison(name="--help", runs=15, work=command("--help"))
    yield Comparison(name="list", runs=15, work=command("list"))
    yield Comparison(name="plan", runs=15, work=command("plan", RELEASE))
    yield Comparison(name="build, nothing changed", runs=9, work=command("build", RELEASE))
    yield Comparison(name="lock --check", runs=9, work=command("lock", RELEASE, "--check"))
    yield Comparison(name="size", runs=3, work=command("size", RELEASE))
    yield Comparison(name="build, Python layers from cached trees", runs=3, work=forgetting(*python_layers))
    yield Comparison(name="build, Python layers", runs=2, work=forgetting(*python_layers, trees=True))
    yield Comparison(name="lock --refresh, indexes cached", runs=2, work=refresh)
    yield Comparison(name="fetch over the network", runs=2, work=fetch)
    yield Comparison(name="build, empty store", runs=2, work=cold)


if __name__ == "__main__":
    main()
