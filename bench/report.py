"""The page: tables of what was measured, and around them what it means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from bench.measure import Measure, Table, today

_HEAD = """\
# Benchmarks

`nox -s bench` wrote this page on {date}: it measures what is promised about speed and memory, each time against what a
user would do instead, in turns and in the same run.

Machine: {cores} processors, {memory} GiB of memory. {versions}.

## What was measured

"Ours" is the command line from its start to its exit. All inputs are fetched before, for both sides: rtbuild's store
holds the artifacts and nothing made of them; the rival's apt finds the .debs among its downloads, and its pip finds
the wheels in a folder. What is left of the network are the indexes that apt reads anew, in the rival's time. Times are
medians of the runs. A ratio above 1 is in rtbuild's favour. The load is the machine's (processes that want a processor,
averaged over a minute) before the measure began: on a machine that does nothing else it is what the benchmark itself
left.

"""

_RIVALS = """\

## The rivals

- **cold build**: `mmdebstrap --variant=apt` makes a base, a Dockerfile imports it (`FROM scratch`, `ADD`), installs the
  packages that the recipes name with `apt-get install --no-install-recommends`, and then with `pip install` the
  requirements that `rtbuild export` prints, but for the project's own package; `docker buildx build --no-cache --load`
  on the engine that rtbuild uses. Theirs has the time to put the image into Docker; what that takes rtbuild is a line
  of its own.
- **the Debian layers**: `mmdebstrap --variant=essential --include` of the same packages, to a tar.
- **nothing changed**, **one provider bumped**, **the Python layers**: the same `docker buildx build`, with its cache.
  A Dockerfile has no smaller unit than the instruction, so any change of a requirement installs all of them anew.
- **canonical layer**: Python's `tarfile`, members sorted, times and owners set, the same compressor, both digests.
- **fetch**: `curl --parallel` with as many connections, told every address beforehand. It checks nothing; rtbuild finds
  the addresses, checks size and sha256 while bytes arrive, and makes each file durable.
- **lock**: `uv pip compile` with hashes, for the Python side alone. rtbuild's lock also chooses the Debian packages
  from signed indexes, looks for each file on the mirrors, and locks what building the sdists needs.
- **a lock**: `tomllib.loads` of the same file, in one process. rtbuild also checks each field and each reference.
- **an index**: python-debian's `Packages.iter_paragraphs` without apt's library, from the same bytes, unpacked by both.
- **start-up**: the Dockerfile's image with the same packages, as pip compiled them, and the same without `__pycache__`,
  as `pip install --no-compile` leaves it: its user cannot write there, so each start compiles anew.
- **a request with a token**: Airflow's own security manager, with a session that a login began before. Both webservers
  live in one process and answer in turns.
- **verify**, **plan** and **memory** have no rival: nobody else does the first two.

Only rtbuild's results can be compared with anything: the rival's image differs from one run to the next.

Memory is PSS, sampled four times a second from outside, of rtbuild and of its children; docker and buildx are listed
apart, and the engine's own processes are not counted.
"""


def page(found: Sequence[Measure | Table], took_part: dict[str, str]) -> str:
    """The whole page in Markdown."""
    measures = [one for one in found if isinstance(one, Measure)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    text = _HEAD.format(
        date=today(),
        cores=len(os.sched_getaffinity(0)),
        memory=round(memory),
        versions=", ".join(f"{name} {version}" for name, version in took_part.items()),
    )
    text += _table(
        ("measure", "ours", "theirs", "ratio", "target", "met", "against", "runs", "load"),
        ((*one.cells(), one.rival, str(one.runs), f"{one.load:.1f}") for one in measures),
    )
    text += "\n## Targets\n\n" + _verdict(measures) + _busy(measures)
    text += _RIVALS
    for one in found:
        if isinstance(one, Table):
            text += f"\n## {one.title}\n\n{_table(one.columns, one.rows)}"
    return text


def _verdict(measures: Iterable[Measure]) -> str:
    missed = [one for one in measures if one.met is False]
    # A few hundredths are within what two runs of the same thing differ by.
    slower = [one for one in measures if one.ratio is not None and one.ratio < 0.95]
    lines = [f"- Missed: {one.name} took {one.cells()[1]}, the target is {one.cells()[4]}." for one in missed] or [
        "- Every target was reached."
    ]
    lines += [f"- Slower than the rival: {one.name}, {one.cells()[1]} against {one.cells()[2]}." for one in slower]
    return "\n".join(lines) + "\n"


def _busy(measures: Iterable[Measure]) -> str:
    """What to think of the times where the machine had other work; the benchmark alone keeps its processors busy."""
    highest = max((one.load for one in measures), default=0.0)
    cores = len(os.sched_getaffinity(0))
    if highest <= 2 * cores:
        return ""
    return (
        f"\n**The machine had other work**: a load of up to {highest:.1f} on {cores} processors. Believe the ratios "
        "more than the times, and measure again on one that is idle before calling a target missed.\n"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
