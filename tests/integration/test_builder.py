"""`--builder` with a builder that buildx lists for a Docker context."""

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
def command(small: SmallRelease, engine: Engine, room: Path) -> CommandLine:
    """A command line with nothing built, whose docker reaches the tests' engine only by the name of a builder."""
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


def test_another_builder_builds_the_same_image(command: CommandLine, small: SmallRelease) -> None:
    answer = command.run("build", VERSION, "--builder", NAME, "--json").succeeded()
    assert {layer["state"] for layer in answer.document["layers"]} == {"built"}
    assert answer.document["image_id"] == small.answer["image_id"]
    assert answer.document["manifest_digest"] == small.answer["manifest_digest"]
    assert f"engine: Docker context '{NAME}'" in answer.stderr


def test_an_unknown_builder_is_an_error(command: CommandLine) -> None:
    answer = command.run("build", VERSION, "--builder", "nobody")
    assert answer.error() == "builder 'nobody' does not answer"
    assert "hint: see `docker buildx ls`" in answer.stderr
