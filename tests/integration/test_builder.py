"""`--builder`: rtbuild builds with any builder that buildx knows; here one that a Docker context brings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rtbuild.engine.engine import Engine
from tests.integration.command_line import CommandLine
from tests.integration.conftest import SmallRelease
from tests.integration.small import VERSION

pytestmark = pytest.mark.integration

NAME = "elsewhere"


@pytest.fixture
def knowing(small: SmallRelease, engine: Engine, room: Path) -> CommandLine:
    """A command line with nothing built, whose docker knows the tests' engine by the name of a builder alone."""
    config = room / "config"
    shutil.copytree(engine.endpoint.config or Path.home() / ".docker", config, symlinks=True)
    host = engine.endpoint.host or "unix:///var/run/docker.sock"
    create = [
        str(engine.endpoint.docker),
        "--config",
        str(config),
        "context",
        "create",
        NAME,
        "--docker",
        f"host={host}",
    ]
    subprocess.run(create, check=True, capture_output=True)
    return small.unbuilt(room / "small").command.with_environment(
        DOCKER_CONFIG=str(config),
        DOCKER_HOST=None,
        DOCKER_CONTEXT=None,
        RTBUILD_ENGINE_DIR=str(room / "no engine"),
        PATH=f"{engine.endpoint.docker.parent}:/usr/bin:/bin",
    )


def test_what_another_builder_makes_is_the_same(knowing: CommandLine, small: SmallRelease) -> None:
    answer = knowing.run("build", VERSION, "--builder", NAME, "--json").succeeded()
    assert {layer["state"] for layer in answer.document["layers"]} == {"built"}
    assert answer.document["image_id"] == small.answer["image_id"]
    assert answer.document["manifest_digest"] == small.answer["manifest_digest"]
    assert f"engine: Docker context '{NAME}'" in answer.stderr


def test_a_builder_that_is_not_there(knowing: CommandLine) -> None:
    answer = knowing.run("build", VERSION, "--builder", "nobody")
    assert answer.error() == "builder 'nobody' does not answer"
    assert "hint: see `docker buildx ls`" in answer.stderr
