"""What becomes of the other lane of a build when one fails."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.engine import Engine
from rtbuild.engine.versions import EngineVersions
from rtbuild.errors import BuildError, LockError
from rtbuild.verbs.build import _run_lanes


def test_a_lane_that_was_still_preparing_begins_no_build_after_the_other_failed(tmp_path: Path) -> None:
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
        _run_lanes([failing, preparing], engine)
    assert outcomes == ["build: interrupted"]
    assert not (tmp_path / "ran").exists()
