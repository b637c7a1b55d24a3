"""The command line: a thin skin over the library. It parses, calls one verb and prints."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from rtbuild.cli.commands import rtbuild

__all__ = ["main", "rtbuild"]


def main() -> None:
    """The entry point of `rtbuild`: runs the command of `sys.argv` and exits with its code."""
    # A CI job that is cancelled sends SIGTERM; it must clean up as Ctrl-C does, or buildx is left behind.
    signal.signal(signal.SIGTERM, _terminate)
    _open_closed_streams()
    rtbuild(prog_name="rtbuild")


def _open_closed_streams() -> None:
    """Give a closed stdout or stderr to nobody: Python makes them None, and files that are opened get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
