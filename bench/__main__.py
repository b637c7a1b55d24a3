"""`python -m bench [--quick] [--only NAME]...`: measure, print a line for each measure, write the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from bench.ground import ROOT, BenchError, Ground, open_ground
from bench.groups import (
    bump,
    cold,
    debian,
    fetching,
    layers,
    locking,
    reading,
    starting,
    tokens,
    trees,
    verifying,
    warm,
)
from bench.measure import Measure, Table
from bench.report import page
from bench.rival import Rival, versions
from rtbuild import RtbuildError

Group = Callable[[Ground, Rival], Iterator[Measure | Table]]

GROUPS: dict[str, Group] = {
    "cold": cold.run,
    "debian": debian.run,
    "trees": trees.run,
    "warm": warm.run,
    "bump": bump.run,
    "layers": layers.run,
    "verify": verifying.run,
    "fetch": fetching.run,
    "lock": locking.run,
    "read": reading.run,
    "start": starting.run,
    "security-manager": tokens.run,
}
PAGE = ROOT / "docs" / "benchmarks.md"
_WIDTHS = (44, 10, 10, 7, 9, 5)


def main() -> None:
    options = _options()
    results: list[Measure | Table] = []
    try:
        with open_ground(quick=options.quick) as ground, closing(Rival(ground)) as rival:
            print(_line(("measure", "ours", "theirs", "ratio", "target", "met?"), "load"))
            for name, group in GROUPS.items():
                if name in options.only:
                    for measured in group(ground, rival):
                        results.append(measured)
                        print(
                            _line(measured.cells(), f"{measured.load:.1f}")
                            if isinstance(measured, Measure)
                            else _table(measured)
                        )
            took_part = versions(ground)
    except (BenchError, RtbuildError) as error:
        sys.exit(f"error: {error}")
    target = options.output or (PAGE if not options.quick and set(options.only) == set(GROUPS) else None)
    if target is not None:
        target.write_text(page(results, took_part), encoding="utf-8")
        print(f"wrote {target}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="this group; may be repeated [all]")
    parser.add_argument("--quick", action="store_true", help="one run of each, and not what takes minutes")
    parser.add_argument("--output", type=Path, help=f"write the page there [{PAGE.name}, where all was measured]")
    options = parser.parse_args()
    options.only = options.only or list(GROUPS)
    return options


def _line(cells: tuple[str, ...], load: str) -> str:
    first, *others = (cell.ljust(_WIDTHS[0]) if not index else cell for index, cell in enumerate(cells))
    return first + "".join(cell.rjust(width) for cell, width in zip(others, _WIDTHS[1:], strict=True)) + f"   {load}"


def _table(table: Table) -> str:
    rows = "\n".join("    " + "  ".join(cell.ljust(24) for cell in row).rstrip() for row in table.rows)
    return f"  {table.title}\n{rows}"


if __name__ == "__main__":
    # Each line as it is measured, also into a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
