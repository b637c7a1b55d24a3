from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rtbuild.lockfile.model import DebArtifact
from rtbuild.platform import parse_platform
from rtbuild.recipe.model import DebianLayer, Suite
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.resolve.debian.resolve import resolve_debian
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.process import PipProcess
from tests.fakes.debian_archive import DebianArchive, FakeDeb, FolderSources

STABLE = Suite(archive="debian", suite="stable")
AMD64 = parse_platform("linux/amd64")


class Notes:
    """A `Progress` that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None: ...

    def advance(self, task: str, amount: int = 1) -> None: ...

    def detail(self, task: str, text: str) -> None: ...

    def end(self, task: str, outcome: str = "done") -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


class World:
    """One archive, and what rtbuild makes of it."""

    def __init__(self, root: Path) -> None:
        self.archive = DebianArchive(root / "debian")
        self.keyring = Keyring.from_bytes(self.archive.key.certificate, name="the key of the test")
        self.sources = FolderSources({"debian": [self.archive.root]})
        self.progress = Notes()

    def resolve(self, *roots: str, suites: Sequence[Suite] = (STABLE,), **options: Any) -> tuple[DebArtifact, ...]:
        return self.resolve_layers([layer("base", *roots, suites=suites)], **options)

    def resolve_layers(self, layers: Sequence[DebianLayer], **options: Any) -> tuple[DebArtifact, ...]:
        return resolve_debian(layers, AMD64, self.environment(), **options).debs

    def environment(self) -> LockEnvironment:
        return LockEnvironment(
            sources=self.sources,
            pip=PipProcess(),  # never started
            cache=self.archive.root,
            keyring=self.keyring,
            progress=self.progress,
        )

    def names(self, *roots: str, **options: Any) -> list[str]:
        return [deb.name for deb in self.resolve(*roots, **options)]


def layer(name: str, *roots: str, suites: Sequence[Suite] = (STABLE,)) -> DebianLayer:
    return DebianLayer(name=name, title=name, parent=None, suites=tuple(suites), packages=roots)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def publish(world: World) -> Callable[..., World]:
    """Publish packages as the suite `stable`."""

    def publish(*debs: FakeDeb, **options: Any) -> World:
        world.archive.publish("stable", debs, **options)
        return world

    return publish
