"""Run the targets on damaged samples, each within limits of time and memory.

    python -m tests.fuzz --runs 100000 [TARGET ...]

Input number N of a target is the same in every run: its name and N seed the mutation. A find is written to
`tests/fuzz/found/<target>/<sha256>.bin`, which the unit tests run from then on.
"""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.fuzz.mutate import mutated
from tests.fuzz.target import Target

FOUND = Path(__file__).parent / "found"
SECONDS = 10
"""How long one input may take: a hundred times of what any does, because tests share their processors."""
MEMORY = 1 << 30
"""Bytes that one input may take on top of what the process has."""


class TooSlow(BaseException):
    """An input took longer than `SECONDS`. Not an `Exception`, which a parser might catch."""


def failure_of(target: Target, content: bytes) -> str | None:
    """Return why `content` is a find; None if it is parsed or refused as it should be."""
    try:
        with limits():
            target.parse(content)
    except TooSlow:
        return f"took more than {SECONDS} s\n{traceback.format_exc(limit=-3)}"
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        if type(error) in target.errors:
            return None
        return "".join(traceback.format_exception(error, limit=-6))
    return None


def inputs(target: Target, runs: range) -> Iterator[bytes]:
    """Yield the inputs with these numbers."""
    for number in runs:
        chance = random.Random(f"{target.name} {number}")
        content = mutated(target.seeds, chance)
        if target.repair is not None and chance.random() < 0.7:
            content = target.repair(content)
        yield content


def find(target: Target, runs: range) -> list[tuple[bytes, str]]:
    """Return the finds among the inputs with these numbers: one for each line of code that failed."""
    finds: dict[str, tuple[bytes, str]] = {}
    for content in inputs(target, runs):
        reason = failure_of(target, content)
        if reason is not None:
            place = "\n".join(line for line in reason.splitlines() if line.startswith("  File "))[-300:]
            known = finds.get(place or reason)
            if known is None or len(content) < len(known[0]):
                finds[place or reason] = (content, reason)
    return list(finds.values())


def keep(target: Target, content: bytes) -> Path:
    """Write a find where the unit tests see it."""
    path = FOUND / target.name / f"{hashlib.sha256(content).hexdigest()[:16]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(target: Target) -> list[Path]:
    """Return the inputs that were found for a target."""
    return sorted((FOUND / target.name).glob("*.bin"))


@contextmanager
def limits() -> Iterator[None]:
    """Raise `TooSlow` after `SECONDS`, and `MemoryError` if the block takes more than `MEMORY` bytes."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
