"""Progress reporting for long-running operations: the command line draws it, a library user may ignore it."""

from __future__ import annotations

import sys
from typing import Protocol

from rtbuild.errors import CancelledError

CANCELLED, FAILED = "cancelled", "failed"


class Progress(Protocol):
    """Receives the progress of tasks. A task is a short text such as `fetch` or `layer base-os`.

    Any thread may call the methods, and several tasks run at the same time.
    """

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        """Start a task.

        Args:
            task: The task.
            total: How much there is to do, in units; None if that is not known.
            unit: What is counted (`bytes`, `files`, ...).
        """

    def advance(self, task: str, amount: int = 1) -> None:
        """Report that `amount` more units of the task are done."""

    def detail(self, task: str, text: str) -> None:
        """Tell what the task is doing now, such as the last line of a log; each call replaces the one before."""

    def end(self, task: str, outcome: str = "done") -> None:
        """End a task; `outcome` is a word or two (`built`, `cached`, `failed`, `cancelled`)."""

    def note(self, text: str) -> None:
        """Show the user one line that belongs to no task."""


class Silent:
    """A `Progress` that shows nothing."""

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None: ...

    def advance(self, task: str, amount: int = 1) -> None: ...

    def detail(self, task: str, text: str) -> None: ...

    def end(self, task: str, outcome: str = "done") -> None: ...

    def note(self, text: str) -> None: ...


def unfinished(error: BaseException | None = None) -> str:
    """Return the outcome of a task that `error` ended, by default the exception that is being handled.

    Ctrl-C, and the end of what a failure elsewhere made useless, are no failure of the task.
    """
    ended_by = error or sys.exception()
    return CANCELLED if isinstance(ended_by, (KeyboardInterrupt, CancelledError)) else FAILED
