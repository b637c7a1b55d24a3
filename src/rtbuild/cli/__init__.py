"""The command line: a thin skin over the library. It parses, calls one verb and prints."""

from __future__ import annotations

import signal
from types import FrameType

from rtbuild.cli.commands import rtbuild

__all__ = ["main", "rtbuild"]


def main() -> None:
    """The entry point of `rtbuild`: runs the command of `sys.argv` and exits with its code."""
    # A CI job that is cancelled sends SIGTERM; it must clean up as Ctrl-C does, or buildx is left behind.
    signal.signal(signal.SIGTERM, _terminate)
    rtbuild(prog_name="rtbuild")


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
