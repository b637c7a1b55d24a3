"""How the process of a command takes memory from the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # mallopt(3)
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads share two of the C library's arenas; to be called before the first of them starts.

    glibc gives each thread an arena of its own, and an arena keeps what its largest work took: after sixteen threads
    had read index pages, locking held 90 MB that nothing used. Other C libraries have no such thing to be told.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
