"""Measures: one promise, what rtbuild needs for it, what the rival needs, taken in turns in one run."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One line of the results. `ours` and `theirs` are medians, in `unit` (`s`, `ms`, `MB` or `MB/s`).

    `theirs` is None where nothing else does the job, `target` where nothing was promised. `load` is the machine's load
    average before the measure began: the times of a busy machine say little, their ratio still says something.
    """

    name: str
    ours: float
    unit: str = "s"
    theirs: float | None = None
    rival: str = ""
    target: float | None = None
    load: float = 0.0
    runs: int = 1

    @property
    def ratio(self) -> float | None:
        """How many times better rtbuild is; below 1 it is worse."""
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.unit == "MB/s" else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        return self.ours >= self.target if self.unit == "MB/s" else self.ours <= self.target

    def cells(self) -> tuple[str, ...]:
        """`name  ours  theirs  ratio  target  met?` as texts."""
        return (
            self.name,
            self._amount(self.ours),
            self._amount(self.theirs),
            "" if self.ratio is None else f"{self.ratio:.1f}x" if self.ratio < 20 else f"{self.ratio:.0f}x",
            "" if self.target is None else f"{self.target:g} {self.unit}",
            {None: "", True: "yes", False: "NO"}[self.met],
        )

    def _amount(self, value: float | None) -> str:
        if value is None:
            return ""
        digits = 0 if self.unit not in ("s", "ms") or value >= 100 else 2 if value < 1 else 1
        return f"{value:.{digits}f} {self.unit}"


@dataclass(slots=True)
class Table:
    """A table for the page beside the measures: where the time of something goes."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


def timed(work: Callable[[], object]) -> float:
    """The seconds that `work` takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def in_turns(runs: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    """The medians of `runs` runs each, taken one after the other, so that a busy minute hits both."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def load_average() -> float:
    """How many processes wanted a processor in the last minute, on average."""
    return os.getloadavg()[0]


def today() -> str:
    """The date, for the page."""
    return datetime.now(UTC).date().isoformat()
