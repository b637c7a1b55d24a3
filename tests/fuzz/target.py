"""What a target of the fuzzer is."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """A parser.

    Attributes:
        name: The name of the target, and of the folder with what was found.
        seeds: Samples, each of which it accepts.
        parse: Parses one input.
        errors: The classes that it may raise: exactly these, because a subclass is another module's.
        repair: Makes a damaged input consistent again where a checksum would hide the damage.
        slow: Whether an input takes tens of milliseconds.
    """

    name: str
    seeds: Sequence[bytes]
    parse: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    repair: Callable[[bytes], bytes] | None = None
    slow: bool = False


class Scratch:
    """A folder for the parsers that read files; `fresh` empties it."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def fresh(self) -> Path:
        if self._folder is None:
            base = Path("/dev/shm")
            atexit.register(self.close)  # samples are made when tests are collected, whether they run or not
            self._folder = Path(tempfile.mkdtemp(prefix="rtbuild-fuzz-", dir=base if base.is_dir() else None))
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return self._folder

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None


SCRATCH = Scratch()
