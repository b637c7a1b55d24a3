"""Progress on stderr: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rtbuild.cli.invocation import ProgressMode
from rtbuild.progress import CANCELLED, FAILED, Progress, Silent, unfinished
from rtbuild.text import amount_text

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID

SILENCE = 30.0
"""Seconds after which a line says that the work goes on, where there is no terminal."""


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


@dataclass(slots=True)
class _Task:
    """A task that runs. `begun` is in seconds of the listener's clock."""

    begun: float
    total: int | None
    unit: str
    done: int = 0
    detail: str = ""

    @property
    def amount(self) -> str:
        """How much is done, as text; empty if that is not known."""
        if self.total is None:
            return amount_text(self.done, self.unit) if self.done else ""
        if self.unit == "bytes":
            return f"{amount_text(self.done, self.unit)} of {amount_text(self.total, self.unit)}"
        return f"{self.done}/{self.total} {self.unit}".rstrip()


class Plain:
    """One line when a task starts and one when it ends, for CI logs.

    These have no times, so that logs can be compared. If nothing was written for `SILENCE` seconds, each running task
    gets a line that says for how long, how much is done and what it is doing: CI services end jobs that say nothing.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, _Task] = {}
        self._written = clock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        with self._lock:
            self._running[task] = _Task(begun=self._clock(), total=total, unit=unit)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
                self._thread.start()
            self._write(f"{task} ..." if total is None else f"{task} ({amount_text(total, unit)}) ...")

    def advance(self, task: str, amount: int = 1) -> None:
        with self._lock:
            if task in self._running:
                self._running[task].done += amount

    def detail(self, task: str, text: str) -> None:
        with self._lock:
            if task in self._running:
                self._running[task].detail = text

    def end(self, task: str, outcome: str = "done") -> None:
        with self._lock:
            self._running.pop(task, None)
            self._write(f"{task}: {outcome}")

    def note(self, text: str) -> None:
        with self._lock:
            self._write(text)

    def running(self) -> list[str]:
        """The tasks that have begun and not ended, in order."""
        return list(self._running)

    def close(self) -> None:
        """Write no more about running tasks."""
        self._closed.set()

    def break_silence(self) -> float:
        """Write a line for each running task if it is time; return the seconds until it is time again."""
        with self._lock:
            now = self._clock()
            left = self._written + SILENCE - now
            if left > 0:
                return left
            self._written = now
            for name, task in self._running.items():
                state = ", ".join(filter(None, (f"{now - task.begun:.0f} s", task.amount)))
                self._write(f"{name} ... {state}" + (f" ({task.detail})" if task.detail else ""))
            return SILENCE

    def _watch(self) -> None:
        left = SILENCE
        while not self._closed.wait(left):
            left = self.break_silence()

    def _write(self, line: str) -> None:
        self._written = self._clock()
        with suppress(OSError):  # a full disk or a closed pipe behind stderr is no reason to end the work
            self._stream.write(f"{line}\n")
            self._stream.flush()


class Live:
    """A line per running task, with a bar if the total is known; a task that ends leaves one line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars: RichBars | None = None
        self._tasks: dict[str, tuple[TaskID, _Task]] = {}

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        with self._lock:
            bars = self._open()
            if task in self._tasks:
                bars.remove_task(self._tasks[task][0])
            state = _Task(begun=0, total=total, unit=unit)  # rich has a clock of its own
            self._tasks[task] = bars.add_task(task, total=total, amount=state.amount, detail=""), state

    def advance(self, task: str, amount: int = 1) -> None:
        with self._lock:
            if task in self._tasks and self._bars is not None:
                number, state = self._tasks[task]
                state.done += amount
                self._bars.update(number, advance=amount, amount=state.amount)

    def detail(self, task: str, text: str) -> None:
        with self._lock:
            if task in self._tasks and self._bars is not None:
                self._bars.update(self._tasks[task][0], detail=text)

    def end(self, task: str, outcome: str = "done") -> None:
        from rich.text import Text

        with self._lock:
            bars = self._open()
            if task in self._tasks:
                bars.remove_task(self._tasks.pop(task)[0])
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
            from rtbuild.cli.bars import live_bars  # rich loads slowly

            self._bars = live_bars()
            self._bars.start()
        return self._bars
