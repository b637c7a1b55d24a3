"""Driving BuildKit and Docker: only this room imports python-on-whales (buildx) and the Docker SDK (load, inspect,
run)."""

from __future__ import annotations

from rtbuild.engine.build import BuildOutcome, layout_reference
from rtbuild.engine.containers import Container, Mount, RunOutcome
from rtbuild.engine.engine import Engine
from rtbuild.engine.images import ImageFacts
from rtbuild.engine.private import EngineStatus, engine_status, start_engine, stop_engine
from rtbuild.engine.select import find_engine, private_engine
from rtbuild.engine.versions import EngineVersions

__all__ = [
    "BuildOutcome",
    "Container",
    "Engine",
    "EngineStatus",
    "EngineVersions",
    "ImageFacts",
    "Mount",
    "RunOutcome",
    "engine_status",
    "find_engine",
    "layout_reference",
    "private_engine",
    "start_engine",
    "stop_engine",
]
