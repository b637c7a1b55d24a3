"""Progress reporting."""

from __future__ import annotations

import pytest

from rtbuild.errors import BuildError, CancelledError
from rtbuild.progress import Progress, Silent, unfinished


def test_the_default_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    progress: Progress = Silent()
    progress.begin("fetch", total=2, unit="files")
    progress.advance("fetch")
    progress.advance("fetch", 5)
    progress.detail("fetch", "a line of a log")
    progress.note("a note")
    progress.end("fetch", "done")
    progress.end("never begun")
    assert capfd.readouterr() == ("", "")


def test_what_ctrl_c_or_another_failure_ends_did_not_fail() -> None:
    assert unfinished(KeyboardInterrupt()) == unfinished(CancelledError("base-os: interrupted")) == "cancelled"
    assert unfinished(BuildError("base-os: exit code 1")) == unfinished(ValueError()) == "failed"
    try:
        raise CancelledError("x")
    except CancelledError:
        assert unfinished() == "cancelled"
    assert unfinished() == "failed"
