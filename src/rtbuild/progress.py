"""How long work tells what it is doing; the CLI draws it, a library user may ignore it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener for tasks, a task being a short text such as `fetch` or `layer base-os`. Any thread may call it."""

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        """`task` starts; `total` of `unit` (`bytes`, `files`, ...) is what there is to do, where it is known."""

    def advance(self, task: str, amount: int = 1) -> None:
        """`amount` more units of `task` are done."""

    def end(self, task: str, outcome: str = "done") -> None:
        """`task` is over; `outcome` is one or few words (`built`, `cached`, `failed`)."""

    def note(self, text: str) -> None:
        """One line for the user that belongs to no task."""


class Silent:
    """A `Progress` that says nothing."""

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None: ...

    def advance(self, task: str, amount: int = 1) -> None: ...

    def end(self, task: str, outcome: str = "done") -> None: ...

    def note(self, text: str) -> None: ...
