"""What every part of a build needs at hand."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from rtbuild.engine.engine import Engine
from rtbuild.formats.frames import Compressor
from rtbuild.oci.layout import Layout
from rtbuild.platform import Platform
from rtbuild.progress import Progress
from rtbuild.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEnvironment:
    """The store that takes the results, its layout, the engine that does the work, and how much of it at once."""

    store: Store
    layout: Layout
    engine: Engine
    platform: Platform
    compressor: Compressor
    jobs: int
    progress: Progress

    def log(self, name: str) -> Path:
        """A new log file for one build in the engine."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        return self.store.logs / f"{stamp}-{os.getpid()}-{name}.log"
