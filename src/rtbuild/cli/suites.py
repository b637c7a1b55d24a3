"""The states of Debian suites that a lock records, as text and as documents."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.document import as_document
from rtbuild.text import count

if TYPE_CHECKING:
    from rtbuild.lockfile.model import LockedSuite

allow_older_archive_option = click.option(
    "--allow-older-archive",
    is_flag=True,
    help="Accept a Debian suite in an older state than the one in the existing lock.",
)


def suite_documents(suites: Iterable[LockedSuite]) -> list[dict[str, Any]]:
    """Return the state of each suite, with `expired`: whether it is past its Valid-Until now."""
    now = datetime.now(UTC)
    return [{**as_document(suite), "expired": suite.overdue(now) is not None} for suite in suites]


def suite_lines(suites: Iterable[LockedSuite], now: datetime | None = None) -> list[str]:
    """Return one line for each suite: its date, and for how long it has expired."""
    now = now or datetime.now(UTC)
    lines = []
    for suite in suites:
        line = f"  {suite.archive} {suite.suite}: InRelease of {suite.date:%Y-%m-%d %H:%M} UTC"
        overdue = suite.overdue(now)
        if overdue is not None:
            line += f", {count('day', overdue.days)} past its Valid-Until"
        lines.append(line)
    return lines
