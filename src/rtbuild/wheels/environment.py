"""What every part of a build works with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rtbuild.engine.engine import Engine
from rtbuild.formats.frames import COMPRESSORS, Compressor
from rtbuild.oci.layout import Layout
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings
from rtbuild.store.store import Store


@dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """The store that takes the results, the engine that does the work, and how much of it to do at once.

    The engine is opened when a step first asks for it: a build that finds every layer in the store needs none.
    """

    store: Store
    settings: Settings
    open_engine: Callable[[], Engine] = field(repr=False)
    progress: Progress = field(default_factory=Silent)

    @cached_property
    def engine(self) -> Engine:
        """The engine. Ask for it before starting threads that use it."""
        engine = self.open_engine()
        self.progress.note(f"engine: {engine}")
        return engine

    @cached_property
    def layout(self) -> Layout:
        """The OCI image layout of the store."""
        return Layout.create(self.store.layout)

    @cached_property
    def compressor(self) -> Compressor:
        """The compressor of layers and wheel trees."""
        return COMPRESSORS[self.settings.compression]()

    @property
    def jobs(self) -> int:
        """How many CPU-bound pieces of work run at once."""
        return self.settings.jobs

    def log(self, name: str) -> Path:
        """Return the path of a new log file for one build in the engine."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        return self.store.logs / f"{stamp}-{os.getpid()}-{name}.log"
