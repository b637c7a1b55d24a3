"""`rtbuild check` before anything is checked, and its former name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.command_line import Run
from tests.fakes.loaded_docker import docker


@pytest.mark.parametrize(
    ("arguments", "brief"),
    [
        ((), "nothing to check"),
        (("8.0", "--image", "x:1"), "give either a release or --image, not both"),
        (("x:1", "--image", "x:1"), "give either a release or --image, not both"),
        (("registry.example/x:1", "--platform", "amd64"), "--platform goes with a release: an image has its own"),
        (("--image", "x:1", "--platform", "amd64"), "--platform goes with a release: an image has its own"),
    ],
)
def test_what_is_checked_must_be_clear(run: Run, arguments: tuple[str, ...], brief: str) -> None:
    result = run("check", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {brief}\nhint: ")


def test_the_former_name_works_with_a_note(run: Run) -> None:
    result = run("test")
    assert result.exit_code == 2
    note, error, _ = result.stderr.splitlines()
    assert note == "note: `rtbuild test` is now called `rtbuild check`; version 0.2 removes the old name"
    assert error == "error: nothing to check"
    assert run("test", "-q").stderr.startswith("error: ")
    assert "  test " not in run("--help").stdout


@pytest.mark.parametrize("arguments", [("8.0-custom",), ("team/x:1",), ("sha256:" + "1" * 64,), ("--image", "8.0")])
def test_what_is_not_a_version_is_an_image_of_docker(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    with docker(tmp_path, monkeypatch) as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.host)
        result = run("check", *arguments)
    assert f"has no image {arguments[-1]}" in result.stderr
    assert result.exit_code == 1


def test_a_version_is_a_release(run: Run) -> None:
    assert run("check", "99.0").stderr.startswith("error: unknown release '99.0'\n")
