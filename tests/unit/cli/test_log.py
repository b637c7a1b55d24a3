"""`-v` and `--traceback`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from rtbuild.cli.group import Root, shared_options
from rtbuild.errors import RtbuildError


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    logger = logging.getLogger("rtbuild")
    yield
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@click.group(cls=Root)
@shared_options
def root() -> None: ...


@root.command()
@shared_options
def go() -> None:
    logger = logging.getLogger("rtbuild.engine")
    logger.info("a step")
    logger.debug("a request")
    raise RtbuildError("it broke")


@pytest.mark.parametrize(
    ("arguments", "steps", "requests"),
    [(["go"], 0, 0), (["go", "-v"], 1, 0), (["-v", "go"], 1, 0), (["go", "-vv"], 1, 1)],
)
def test_verbosity(arguments: list[str], steps: int, requests: int) -> None:
    stderr = CliRunner().invoke(root, arguments).stderr
    assert stderr.count("INFO rtbuild.engine: a step\n") == steps
    assert stderr.count("DEBUG rtbuild.engine: a request\n") == requests
    assert "Traceback" not in stderr


def test_traceback_of_an_error() -> None:
    result = CliRunner().invoke(root, ["go", "--traceback"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("error: it broke\n")
