"""Building layers: what is fetched first, and what a failure in one lane does to the other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rtbuild.derivations.plan import Plan, PlannedLayer
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.engine import Engine
from rtbuild.engine.versions import EngineVersions
from rtbuild.errors import BuildError, LockError
from rtbuild.layers.build import needed_artifacts, run_lanes
from rtbuild.recipe.model import Layer
from tests.fakes import locks
from tests.fakes.four_layers import AIRFLOW, BASE, PROVIDERS, PYTHON

LOCK = locks.lock(
    debs=(locks.deb("apt"), locks.deb("python3.9", layer="python")),
    pythons=(locks.wheel("apache-airflow", layer="airflow"), locks.wheel("celery", layer="providers")),
    build_pythons=(locks.wheel("setuptools", layer="future"),),
)


def needed(*missing: Layer) -> set[str]:
    """Return the names of the files that are needed if these layers are missing and the others are in the store."""
    layers = tuple(
        PlannedLayer(
            name=layer.name,
            state="build" if layer in missing else "cached",
            reason="",
            layer=layer,
            derivation=None,
            realisation=None,
        )
        for layer in (BASE, PYTHON, AIRFLOW, PROVIDERS)
    )
    plan = Plan(release="8.0.0", platform="linux/amd64", layers=layers)
    return {artifact.filename for artifact in needed_artifacts(plan, LOCK)}


def test_a_debian_layer_needs_its_own_packages() -> None:
    assert needed(PYTHON) == {"python3.9_1.0-1_amd64.deb"}
    assert needed() == set()


def test_a_python_layer_needs_the_wheels_of_cached_layers_too() -> None:
    """The files that it leaves to another package depend on them."""
    assert needed(PROVIDERS) == {artifact.filename for artifact in LOCK.remote}


def test_a_lane_does_not_start_a_build_after_the_other_failed(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    docker.chmod(0o755)
    interrupted = threading.Event()
    outcomes: list[str] = []

    class Watched(Engine):
        def interrupt(self) -> int:
            count = super().interrupt()
            interrupted.set()
            return count

    engine = Watched(
        endpoint=Endpoint(docker=docker),
        versions=EngineVersions(docker="28.0", buildkit="0.25", buildx="0.20"),
        driver="docker",
        platforms=("linux/amd64",),
        scratch=tmp_path / "scratch",
    )

    def failing() -> None:
        raise LockError("the first lane fails")

    def preparing() -> None:
        assert interrupted.wait(60)
        try:
            engine.build(tmp_path / "context", log=tmp_path / "log", output_local=tmp_path / "out")
        except BuildError as error:
            outcomes.append(error.brief)
            raise

    with pytest.raises(LockError, match="the first lane fails"):
        run_lanes([failing, preparing], engine)
    assert outcomes == ["build: interrupted"]
    assert not (tmp_path / "ran").exists()
