"""The environment of a build: store, engine, settings and progress."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rtbuild.errors import EngineError
from rtbuild.formats.frames import COMPRESSORS, Compressor
from rtbuild.oci.layout import Layout
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings
from rtbuild.store.store import Store

if TYPE_CHECKING:
    from rtbuild.engine.engine import Engine


def _no_docker() -> Engine:
    raise EngineError("there is no Docker to load images into")


@dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """What every step of a build works with.

    The engine is opened when a step first needs it: a build that finds every layer in the store needs no engine.

    Attributes:
        store: Where artifacts are read from and results are written to.
        settings: The settings of the build, such as the number of jobs.
        open_engine: Returns the engine; called once at most.
        open_docker: Returns the Docker that images are loaded into; called once at most.
        progress: Reports progress.
    """

    store: Store
    settings: Settings
    open_engine: Callable[[], Engine] = field(repr=False)
    open_docker: Callable[[], Engine] = field(repr=False, default=_no_docker)
    progress: Progress = field(default_factory=Silent)

    @cached_property
    def engine(self) -> Engine:
        """The engine. Access it before starting threads that use it."""
        engine = self.open_engine()
        self.progress.note(f"engine: {engine}")
        return engine

    @cached_property
    def docker(self) -> Engine:
        """The Docker that gets the images; it may be another one than the engine."""
        return self.open_docker()

    @cached_property
    def layout(self) -> Layout:
        """The OCI image layout of the store."""
        return Layout.create(self.store.layout.root)

    @cached_property
    def compressor(self) -> Compressor:
        """The compressor of layers and wheel trees."""
        return COMPRESSORS[self.settings.compression]()

    @property
    def jobs(self) -> int:
        """How many CPU-bound tasks run in parallel."""
        return self.settings.jobs

    def log(self, name: str) -> Path:
        """Return the path of a new log file for a build in the engine."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        return self.store.logs / f"{stamp}-{os.getpid()}-{name}.log"

    def follow(self, task: str) -> Callable[[str], None]:
        """Return a listener for the log of a build in the engine that tells what each step prints as part of `task`."""
        from rtbuild.engine.steps import printed  # here, because most builds need no engine

        def tell(line: str) -> None:
            if text := printed(line):
                self.progress.detail(task, text)

        return tell
