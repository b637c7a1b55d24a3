"""`python -m tests.fuzz`: run the targets on many damaged samples, on all processors."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz import run
from tests.fuzz.target import SCRATCH
from tests.fuzz.targets import only, targets

BATCH = 1000


def batch(name: str, runs: range) -> list[tuple[bytes, str]]:
    """Run one batch in a process of the pool."""
    try:
        return run.find(only(name), runs)
    finally:
        SCRATCH.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s fuzz --", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each target (default: 100,000)")
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="the targets to run (default: all)")
    options = parser.parse_args()
    names = [target.name for target in targets()]
    SCRATCH.close()
    unknown = set(options.targets) - set(names)
    if unknown:
        parser.error(f"unknown target {min(unknown)}; known targets: {', '.join(names)}")
    failed = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in options.targets or names:
            began = time.monotonic()
            starts = range(options.start, options.start + options.runs, BATCH)
            ends = [range(start, min(start + BATCH, options.start + options.runs)) for start in starts]
            finds = [find for part in pool.map(batch, [name] * len(ends), ends) for find in part]
            distinct = {reason: content for content, reason in finds}
            for reason, content in distinct.items():
                print(f"{name}: {run.keep(only(name), content)}\n{reason}", flush=True)
            SCRATCH.close()
            failed += bool(distinct)
            seconds = time.monotonic() - began
            print(f"{name}: {options.runs} inputs, {len(distinct)} finds, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
