"""The live lines of progress, drawn by rich: task, bar or nothing, amount, time, and what the task is doing."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text


def live_bars() -> Progress:
    """Return the lines, on stderr. Tasks have the fields `amount` and `detail`."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        _Bar(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        # What is left of the line, so that it stays one.
        TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
        console=Console(stderr=True, force_terminal=True),
        transient=True,
        expand=True,
    )


class _Bar(ProgressColumn):
    """A bar for tasks whose total is known; it would tell nothing of others, which need the room for their detail."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = BarColumn(bar_width=20)

    def render(self, task: Task) -> RenderableType:
        return Text() if task.total is None else self._bar.render(task)
