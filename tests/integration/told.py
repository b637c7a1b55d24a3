"""A `Progress` that remembers what it was told and prints it, so that pytest shows it when a test fails."""

from __future__ import annotations


class Told:
    """`lines` holds a line for each beginning, end and note."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        self._say(f"{task} ...")

    def advance(self, task: str, amount: int = 1) -> None:
        pass

    def detail(self, task: str, text: str) -> None:
        pass

    def end(self, task: str, outcome: str = "done") -> None:
        self._say(f"{task}: {outcome}")

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, line: str) -> None:
        self.lines.append(line)
        print(line)
