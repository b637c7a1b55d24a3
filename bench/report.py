"""The page of benchmarks: tables of the measurements, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from bench.measure import Measure, Table, today

_HEAD = """\
# Benchmarks

`nox -s bench` wrote this page on {date}: it measures speed and memory, compared with what a user
would do without rtbuild. Both sides take turns in the same run.

Machine: {cores} CPUs, {memory} GiB of memory. {versions}.

## What was measured

"Ours" is the `rtbuild` command from its start to its exit, "theirs" what a user would do without it: the rival. All
inputs are downloaded beforehand, for both sides. rtbuild's store has the artifacts and nothing built from them; the
rival's apt has the .debs in its cache, and its pip has the wheels in a folder. Only apt still uses the network, to read
its indexes again, and this is part of the rival's time. Times are medians of the runs. A ratio above 1 means that
rtbuild is faster. The load is that of the machine before the measurement (processes that want a CPU, averaged over a
minute). On a machine that does nothing else, it is what the benchmark itself left behind.

"""

_RIVALS = """\

## The rivals

- **cold build**: `mmdebstrap --variant=apt` makes a base. A Dockerfile imports it (`FROM scratch`, `ADD`), installs the
  packages of the recipes with `apt-get install --no-install-recommends`, and the requirements that `rtbuild export`
  prints with `pip install`, except for the package in the recipes. It is built with `docker buildx build --no-cache
  --load` on the engine that rtbuild uses. Their time includes loading the image into Docker; for rtbuild, this is a
  line of its own.
- **Debian layers**: `mmdebstrap --variant=essential --include` with the same packages, into a tar.
- **nothing changed**, **one provider bumped**, **Python layers**: the same `docker buildx build`, with its cache. The
  smallest unit of a Dockerfile is the instruction, so any change of a requirement installs all of them again.
- **canonical layer**: Python's `tarfile` with sorted members, times and owners set, the same compressor, both digests.
- **fetch**: `curl --parallel` with as many connections and all addresses given. It checks nothing. rtbuild finds the
  addresses, checks size and sha256 while bytes arrive, and flushes each file to disk.
- **lock**: `uv pip compile` with hashes, for the Python side only. rtbuild also chooses Debian packages from signed
  indexes, looks for each file on the mirrors, and locks what is needed to build the sdists.
- **read a lock**: `tomllib.loads` of the same file, in one process. rtbuild also checks each field and each reference.
- **read an index**: python-debian's `Packages.iter_paragraphs` without apt's library, from the same bytes. Both
  decompress them.
- **start-up**: the Dockerfile's image with the same packages, as pip compiled them, and the same without `__pycache__`,
  as `pip install --no-compile` leaves it. Its user cannot write there, so each start compiles again.
- **a request with a token**: Airflow's own security manager, with a session from an earlier login. Both webservers run
  in one process and answer in turns.
- **verify**, **plan**, **list**, **--help** and **memory** have no rival. No other tool does the first two.

Only rtbuild's image can be compared with a lock: the rival's differs from one run to the next.

Memory is the PSS of rtbuild and its children, sampled four times a second from outside. docker and buildx are listed
separately, and the engine's own processes are not counted.
"""


def page(results: Sequence[Measure | Table], versions: dict[str, str]) -> str:
    """Return the whole page as Markdown. `versions` are those of the programs that were measured."""
    measures = [result for result in results if isinstance(result, Measure)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    text = _HEAD.format(
        date=today(),
        cores=len(os.sched_getaffinity(0)),
        memory=round(memory),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
    )
    text += _table(
        ("measure", "ours", "theirs", "ratio", "target", "met", "against", "runs", "load"),
        ((*measure.cells(), measure.rival, str(measure.runs), f"{measure.load:.1f}") for measure in measures),
    )
    text += "\n## Targets\n\n" + _verdict(measures) + _busy(measures)
    text += _RIVALS
    for result in results:
        if isinstance(result, Table):
            text += f"\n## {result.title}\n\n{_table(result.columns, result.rows)}"
    return text


def _verdict(measures: Iterable[Measure]) -> str:
    measures = list(measures)
    lines = []
    for measure in measures:
        if measure.met is False:
            _, ours, _, _, target, *_ = measure.cells()
            lines.append(f"- Missed: {measure.name} took {ours}, the target is {target}.")
    if not lines:
        lines.append("- Every target was reached.")
    for measure in measures:
        # Two runs of the same thing differ by a few hundredths.
        if measure.ratio is not None and measure.ratio < 0.95:
            _, ours, theirs, *_ = measure.cells()
            lines.append(f"- Slower than the rival: {measure.name}, {ours} against {theirs}.")
    return "\n".join(lines) + "\n"


def _busy(measures: Iterable[Measure]) -> str:
    """Return a warning if the machine had other work. The benchmark alone keeps all CPUs busy."""
    highest = max((measure.load for measure in measures), default=0.0)
    cores = len(os.sched_getaffinity(0))
    if highest <= 2 * cores:
        return ""
    return (
        f"\n**The machine had other work**: a load of up to {highest:.1f} on {cores} CPUs. Trust the ratios more than "
        "the times, and measure again on an idle machine before you call a target missed.\n"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
