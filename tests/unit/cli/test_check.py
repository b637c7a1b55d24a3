"""`rtbuild check` before anything is checked, and its former name."""

from __future__ import annotations

import pytest

from tests.fakes.command_line import Run


@pytest.mark.parametrize(
    ("arguments", "brief"),
    [
        ((), "nothing to check"),
        (("8.0", "--image", "x:1"), "give either a release or --image, not both"),
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
