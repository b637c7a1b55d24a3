"""What the integration tests share: the project, a store that keeps downloads, an engine, and the built image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rtbuild.build import BuildResult, build
from rtbuild.build.provide import open_engine
from rtbuild.engine import Engine
from rtbuild.lock.model import Lock
from rtbuild.platform import parse_platform
from rtbuild.project import Project
from rtbuild.settings import Settings, load_settings
from rtbuild.store import Store
from tests.integration.told import Told

ROOT = Path(__file__).parents[2]
AMD64 = parse_platform("linux/amd64")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """Release 8.0.0 as the engine has it, under a name of the tests' own."""

    engine: Engine
    reference: str
    result: BuildResult
    lock: Lock


@pytest.fixture(scope="session")
def project() -> Project:
    return Project.find(ROOT)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of whoever runs the tests: their store saves downloading everything again."""
    return replace(load_settings(os.environ, ROOT), repository="rtbuild-tests/runtime")


@pytest.fixture(scope="session")
def lock(project: Project) -> Lock:
    return project.read_lock("8.0.0", AMD64)


@pytest.fixture(scope="session")
def engine(project: Project, settings: Settings) -> Engine:
    return open_engine(project, settings, Store.open(settings.store), Told())


@pytest.fixture(scope="session")
def image(project: Project, settings: Settings, engine: Engine, lock: Lock) -> Iterator[BuiltImage]:
    """The image, built (or taken from the store) and loaded."""
    told = Told()
    result = build(project, "8.0", platform=AMD64, settings=settings, load=True, progress=told)
    reference = f"{settings.repository}:8.0.0"
    yield BuiltImage(engine=engine, reference=reference, result=result, lock=lock)
    engine.remove_image(reference)
