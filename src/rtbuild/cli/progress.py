"""Progress on stderr: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from rtbuild.cli.invocation import ProgressMode
from rtbuild.progress import CANCELLED, FAILED, Progress, Silent, unfinished
from rtbuild.text import amount_text

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID


@contextmanager
def shown(mode: ProgressMode) -> Iterator[Progress]:
    """Yield the `Progress` of `mode`; live lines are gone from the terminal when the block ends.

    `auto` is `tty` on a terminal and `plain` elsewhere. An error that ends the block ends every task that runs.
    """
    if mode == "quiet":
        yield Silent()
        return
    live = mode == "tty" or (mode == "auto" and sys.stderr.isatty())
    drawn = Live() if live else Plain(sys.stderr)
    try:
        yield drawn
    except BaseException as error:
        with suppress(OSError):  # if nobody reads stderr any more, the error itself is what counts
            for task in drawn.running():
                drawn.end(task, unfinished(error))
        raise
    finally:
        drawn.close()


class Plain:
    """One line when a task starts and one when it ends, for CI logs; no times, so that logs can be compared."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._running: dict[str, None] = {}  # a set that keeps its order

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        self._running[task] = None
        self._write(f"{task} ..." if total is None else f"{task} ({amount_text(total, unit)}) ...")

    def advance(self, task: str, amount: int = 1) -> None: ...

    def end(self, task: str, outcome: str = "done") -> None:
        self._running.pop(task, None)
        self._write(f"{task}: {outcome}")

    def note(self, text: str) -> None:
        self._write(text)

    def running(self) -> list[str]:
        """The tasks that have begun and not ended, in order."""
        return list(self._running)

    def close(self) -> None:
        """Nothing is left on the terminal."""

    def _write(self, line: str) -> None:
        with self._lock:
            with suppress(OSError):  # a full disk or a closed pipe behind stderr is no reason to end the work
                self._stream.write(f"{line}\n")
                self._stream.flush()


class Live:
    """A line per running task, with a bar if the total is known; a task that ends leaves one line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars: RichBars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._units: dict[str, str] = {}
        self._done: dict[str, int] = {}
        self._totals: dict[str, int | None] = {}

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        with self._lock:
            bars = self._open()
            if task in self._tasks:
                bars.remove_task(self._tasks[task])
            self._done[task], self._totals[task], self._units[task] = 0, total, unit
            self._tasks[task] = bars.add_task(task, total=total, amount=self._amount(task))

    def advance(self, task: str, amount: int = 1) -> None:
        with self._lock:
            if task in self._tasks and self._bars is not None:
                self._done[task] += amount
                self._bars.update(self._tasks[task], advance=amount, amount=self._amount(task))

    def end(self, task: str, outcome: str = "done") -> None:
        from rich.text import Text

        with self._lock:
            bars = self._open()
            if task in self._tasks:
                bars.remove_task(self._tasks.pop(task))
            colour = {FAILED: "red", CANCELLED: "yellow"}.get(outcome, "green")
            bars.console.print(Text.assemble(f"{task}: ", (outcome, colour)))

    def note(self, text: str) -> None:
        from rich.text import Text

        with self._lock:
            self._open().console.print(Text(text))

    def running(self) -> list[str]:
        """The tasks that have begun and not ended, in order."""
        with self._lock:
            return list(self._tasks)

    def close(self) -> None:
        """Take the live lines off the terminal."""
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def _open(self) -> RichBars:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[amount]}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True, force_terminal=True),
                transient=True,
            )
            self._bars.start()
        return self._bars

    def _amount(self, task: str) -> str:
        total, unit = self._totals[task], self._units[task]
        if total is None:
            return amount_text(self._done[task], unit) if self._done[task] else ""
        if unit == "bytes":
            return f"{amount_text(self._done[task], unit)} of {amount_text(total, unit)}"
        return f"{self._done[task]}/{total} {unit}".rstrip()
