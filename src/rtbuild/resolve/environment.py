"""What every resolution works with, whatever it resolves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rtbuild.mirror.sources import Sources
from rtbuild.progress import Progress, Silent
from rtbuild.resolve.python.process import PipProcess

if TYPE_CHECKING:
    from rtbuild.lockfile.model import LockedSuite
    from rtbuild.resolve.debian.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class LockEnvironment:
    """The world that a lock is made in. Nothing in it says what to lock."""

    sources: Sources
    pip: PipProcess
    """The process that resolves Python packages."""
    cache: Path
    """A folder for the metadata of Python packages; any number of processes may share it."""
    progress: Progress = field(default_factory=Silent)
    keyring: Keyring | None = None
    """Keys that Debian suites must be signed with; None for the archive keys that rtbuild ships."""
    trusted: tuple[LockedSuite, ...] = ()
    """The states of Debian suites that were trusted before; an older one is refused."""
    now: datetime | None = None
    """The time that the dates of suites are compared with; None for the clock's."""
