"""An index with what a test publishes, and a release of a few requirements to resolve against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.lockfile.model import PythonArtifact
from rtbuild.mirror.find import SETTINGS, Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.mirror.site import Mirror
from rtbuild.platform import PLATFORMS, Platform
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.process import PipProcess
from rtbuild.resolve.python.resolve import PythonResolution, resolve_python
from rtbuild.resolve.python.target import Target, target_for
from tests.fakes import releases
from tests.fakes.package_index import PackageIndex

AMD64 = PLATFORMS["linux/amd64"]
ARM64 = PLATFORMS["linux/arm64"]
AS_OF = datetime(2023, 5, 1, tzinfo=UTC)
REST = PythonLayer(name="rest", title="The rest", roots=())


@dataclass
class Listener:
    """A `Progress` that remembers."""

    notes: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    advanced: int = 0

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None: ...

    def advance(self, task: str, amount: int = 1) -> None:
        self.advanced += amount

    def detail(self, task: str, text: str) -> None: ...

    def end(self, task: str, outcome: str = "done") -> None:
        self.outcomes.append(outcome)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as running:
        yield running


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def sources(index: PackageIndex, web: Web, tmp_path: Path) -> MirrorSources:
    mirrors = Mirrors(python=(Mirror(address=index.url, origin=SETTINGS),))
    return MirrorSources(mirrors, tmp_path / "answers", web=web)


@pytest.fixture
def target() -> Target:
    return target_for(AMD64, "3.9.2", (2, 31))


def release(
    *requirements: str,
    constraints: Sequence[str] = (),
    build_constraints: Sequence[str] = (),
    layers: Sequence[PythonLayer] = (REST,),
    as_of: datetime = AS_OF,
) -> Release:
    return releases.release(
        version="1.0.0",
        as_of=as_of,
        layers=tuple(layers),
        requirements=requirements,
        constraints=tuple(constraints),
        build_constraints=tuple(build_constraints),
    )


Resolve = Callable[..., PythonResolution]


@pytest.fixture
def environment(sources: MirrorSources, pip: PipProcess, tmp_path: Path, listener: Listener) -> LockEnvironment:
    return LockEnvironment(sources=sources, pip=pip, cache=tmp_path / "cache", progress=listener)


@pytest.fixture
def resolve(environment: LockEnvironment) -> Resolve:
    """`resolve_python` for CPython 3.9.2 on Debian 11's C library."""

    def run(
        asked: Release | str,
        *,
        platform: Platform = AMD64,
        locked: Sequence[PythonArtifact] = (),
        upgrade: Mapping[str, str | None] | None = None,
    ) -> PythonResolution:
        return resolve_python(
            release(asked) if isinstance(asked, str) else asked,
            target_for(platform, "3.9.2", (2, 31)),
            environment,
            locked=locked,
            upgrade=upgrade,
        )

    return run
