"""Where everything is measured: the project, an engine, and stores that hold every input and nothing made of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from bench.memory import MemoryWatch
from rtbuild import Lock, Release, Settings, Silent, Store, Workspace, host_platform, load_settings
from rtbuild.engine.containers import ContainerOptions
from rtbuild.engine.engine import Engine
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.verbs.engine import open_engine

ROOT = Path(__file__).parents[1]
RELEASE = "8.0.0"


class BenchError(Exception):
    """A command that was to be measured failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of progress, `at` seconds after the command began."""

    at: float
    text: str


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the command line: its seconds from start to exit, what it said, its memory's peaks in MB."""

    seconds: float
    answer: dict[str, Any]
    events: list[Event] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)


class Ground:
    """Use `open_ground`. `folder` is on the file system of the user's store, so that artifacts are shared by links."""

    def __init__(self, folder: Path, settings: Settings, *, quick: bool) -> None:
        self.folder = folder
        self.settings = settings
        self.quick = quick
        self.workspace = Workspace.find(ROOT)
        self.release: Release = self.workspace.release(RELEASE)
        self.platform = host_platform()
        self.lock: Lock = self.workspace.read_lock(RELEASE, self.platform)
        self._stores = 0

    def runs(self, usual: int) -> int:
        """How often to measure something that is usually measured `usual` times."""
        return 1 if self.quick else usual

    @cached_property
    def artifacts(self) -> Path:
        """The folder with every artifact of the lock, fetched into the user's store where they were not there."""
        store = Store.open(self.settings.store)
        fetch_artifacts(self.lock.remote, store, self.settings)
        return self.settings.store / "artifacts"

    @cached_property
    def engine(self) -> Engine:
        """The engine that `rtbuild build` would take; it is started here, outside of every measure."""
        return open_engine(self.workspace, self.settings, Store.open(self.settings.store), Silent())

    def new_store(self) -> Path:
        """A store with every artifact of the lock, and nothing else: no layer, no tree, no index."""
        self._stores += 1
        store = self.folder / f"store-{self._stores}"
        Store.open(store)  # a folder with other files is refused as a store
        for artifact in self.lock.remote:
            with contextlib.suppress(FileExistsError):
                os.link(self.artifacts / artifact.sha256, store / "artifacts" / artifact.sha256)
        return store

    @cached_property
    def warm_store(self) -> Path:
        """A store in which the release is built."""
        store = self.new_store()
        self.build(store)
        return store

    @cached_property
    def image(self) -> str:
        """The release in the engine, without triggers: the name of its image."""
        self.build(self.warm_store, "--load")
        return f"{self.settings.repository}:{RELEASE}-base"

    def inside(self, image: str, command: Sequence[str], **options: Unpack[ContainerOptions]) -> str:
        """What a command says in a new container; raises `BenchError` where it fails, or takes twenty minutes."""
        outcome = self.engine.run(image, command, timeout=1200, **options)
        if outcome.exit_code:
            told = outcome.stderr.decode(errors="replace")[-4000:]
            raise BenchError(f"{image}: {command[0]}: exit code {outcome.exit_code}\n{told}")
        return outcome.text

    def build(self, store: Path, *options: str, workspace: Path = ROOT, watch: bool = False) -> Run:
        """`rtbuild build` into `store`."""
        self.engine  # noqa: B018 (it must run before the clock does)
        return self.rtbuild("build", RELEASE, *options, store=store, workspace=workspace, watch=watch)

    def forget(self, store: Path, *layers: str, trees: bool = False, plan: dict[str, Any] | None = None) -> None:
        """Make the store forget that it has `layers`, and with `trees` all wheels' trees.

        `plan` is what `rtbuild plan --json` says of them (default: this checkout's).
        """
        for layer in (plan or self.rtbuild("plan", RELEASE, store=store).answer)["layers"]:
            if layer["name"] in layers:
                # A folder, or a file in stores of earlier versions.
                (record,) = (store / "realisations" / "by-key").glob(f"{layer['key']}*")
                shutil.rmtree(record) if record.is_dir() else record.unlink()
        if trees:
            shutil.rmtree(store / "trees")

    def project_copy(self, name: str) -> Path:
        """A project of its own to change: recipes and locks."""
        copy = self.folder / name
        shutil.rmtree(copy, ignore_errors=True)
        for part in ("recipes", "runtime.lock"):
            shutil.copytree(ROOT / part, copy / part)
        return copy

    def rtbuild(self, *words: str, store: Path, workspace: Path = ROOT, watch: bool = False) -> Run:
        """Run the command line as a user does and wait for it; raises `BenchError` where it fails.

        `watch` measures its memory, at the price of some of the machine's time.
        """
        command = [
            sys.executable,
            "-m",
            "rtbuild",
            *words,
            "--json",
            "--store",
            str(store),
            "--workspace",
            str(workspace),
        ]
        events: list[Event] = []
        begun = time.monotonic()
        with subprocess.Popen(
            command, env=user_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            memory = MemoryWatch(process.pid) if watch else None
            assert process.stdout is not None
            assert process.stderr is not None
            answer: list[str] = []
            reader = threading.Thread(target=lambda: answer.append(process.stdout.read()))  # type: ignore[union-attr]
            reader.start()
            events.extend(Event(at=time.monotonic() - begun, text=line.rstrip("\n")) for line in process.stderr)
            process.wait()
            seconds = time.monotonic() - begun
            reader.join()
            if memory is not None:
                memory.stop()
        if process.returncode:
            said = "\n".join([event.text for event in events] + answer)
            raise BenchError(f"{' '.join(words)}: exit code {process.returncode}\n{said}")
        return Run(
            seconds=seconds,
            answer=json.loads(answer[0]),
            events=events,
            peaks=memory.peaks if memory is not None else {},
        )


@contextlib.contextmanager
def open_ground(*, quick: bool) -> Iterator[Ground]:
    """A `Ground` in a temporary folder, with the settings of whoever runs this."""
    settings = load_settings(os.environ, ROOT)
    settings.store.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rtbuild-bench-", dir=settings.store.parent))
    try:
        yield Ground(folder, settings, quick=quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def user_environment() -> dict[str, str]:
    """The environment, in which Python writes .pyc files as it does for users: without them, all starts are slow."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: Sequence[str | Path], *, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Run a rival's command; what it said on both streams. Raises `BenchError` with that where it fails."""
    told = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if told.returncode:
        raise BenchError(f"{command[0]}: exit code {told.returncode}\n{told.stdout[-4000:]}")
    return told.stdout
