"""Progress reporting."""

from __future__ import annotations

import pytest

from rtbuild.progress import Progress, Silent


def test_the_default_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    progress: Progress = Silent()
    progress.begin("fetch", total=2, unit="files")
    progress.advance("fetch")
    progress.advance("fetch", 5)
    progress.note("a note")
    progress.end("fetch", "done")
    progress.end("never begun")
    assert capfd.readouterr() == ("", "")
