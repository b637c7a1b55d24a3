"""How progress is drawn: lines that a log can hold, live lines that leave the terminal clean, nothing when quiet."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
import time

import pytest

from rtbuild.cli import progress
from rtbuild.cli.progress import SILENCE, Live, Plain, shown
from rtbuild.cli.text import short, table
from rtbuild.errors import BuildError
from rtbuild.progress import Silent


def test_plain_lines() -> None:
    stream = io.StringIO()
    plain = Plain(stream)
    plain.begin("fetch", total=98_200_000, unit="bytes")
    plain.advance("fetch", 98_200_000)
    plain.begin("layer base-os")
    plain.end("fetch")
    plain.note("mirror A: gone")
    plain.end("layer base-os", "built")
    assert stream.getvalue().splitlines() == [
        "fetch (98.2 MB) ...",
        "layer base-os ...",
        "fetch: done",
        "mirror A: gone",
        "layer base-os: built",
    ]


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_no_silence_is_longer_than_30_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    plain = Plain(stream, clock)

    def written_after(seconds: float) -> list[str]:
        begun = stream.tell()
        clock.now += seconds
        assert 0 < plain.break_silence() <= SILENCE == 30
        return stream.getvalue()[begun:].splitlines()

    assert written_after(100) == [], "nothing runs"
    plain.begin("fetch", total=98_200_000, unit="bytes")
    plain.begin("check", total=40, unit="files")
    clock.now += 10
    plain.begin("layer base-os")
    assert written_after(29.9) == []
    plain.advance("fetch", 45_200_000)
    plain.advance("check", 7)
    plain.detail("layer base-os", "Setting up libc6 ...")
    plain.advance("never begun")
    plain.detail("never begun", "text")
    assert written_after(0.1) == [
        "fetch ... 40 s, 45.2 MB of 98.2 MB",
        "check ... 40 s, 7/40 files",
        "layer base-os ... 30 s (Setting up libc6 ...)",
    ]
    assert written_after(29) == []
    plain.end("fetch")
    plain.end("check")
    assert written_after(29) == [], "the end of a task is a line as well"
    assert written_after(1) == ["layer base-os ... 89 s (Setting up libc6 ...)"]
    plain.detail("layer base-os", "Setting up dpkg ...")
    assert written_after(30) == ["layer base-os ... 119 s (Setting up dpkg ...)"]
    plain.close()


def test_a_thread_breaks_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.02)
    stream = io.StringIO()
    plain = Plain(stream)
    plain.begin("load")
    deadline = time.monotonic() + 60
    while stream.getvalue().count("\n") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    plain.close()
    assert stream.getvalue().startswith("load ...\nload ... 0 s\nload ... 0 s\n")


def test_plain_lines_of_many_threads_stay_whole() -> None:
    stream = io.StringIO()
    plain = Plain(stream)
    threads = [threading.Thread(target=plain.note, args=(f"line {number}",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stream.getvalue().splitlines()) == sorted(f"line {number}" for number in range(50))


def test_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("quiet") as progress:
        assert isinstance(progress, Silent)
        progress.begin("fetch")
        progress.end("fetch")
    assert capsys.readouterr() == ("", "")


def test_no_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("auto") as progress:
        progress.note("[red]not markup[/red]")
    assert capsys.readouterr() == ("", "[red]not markup[/red]\n")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(("error", "outcome"), [(BuildError("no"), "failed"), (KeyboardInterrupt(), "cancelled")])
def test_an_error_ends_what_had_begun(
    terminal: bool,
    error: BaseException,
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)

    def work() -> None:
        with shown("auto") as progress:
            progress.begin("layer python")
            progress.begin("fetch", total=3, unit="files")
            progress.begin("layer base-os")
            progress.end("fetch", "done")
            raise error

    with pytest.raises(type(error)):
        work()
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    ended = [line for line in lines if ": " in line]
    assert ended == ["fetch: done", f"layer python: {outcome}", f"layer base-os: {outcome}"]


def test_what_has_not_ended_without_an_error_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("auto") as progress:
        progress.begin("fetch")
    assert capsys.readouterr().err == "fetch ...\n"


def test_the_error_counts_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stderr", stream)

    def work() -> None:
        with shown("auto") as progress:
            progress.begin("layer python")
            os.close(reading)
            raise BuildError("no")

    with pytest.raises(BuildError):
        work()
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_live_lines_leave_what_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "dumb")
    live = Live()
    live.begin("fetch", total=10, unit="files")
    live.advance("fetch", 4)
    live.advance("never begun")
    live.end("never begun", "cached")
    live.note("[bold]not markup[/bold]")
    live.end("fetch", "failed")
    live.close()
    live.close()
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line.rstrip() for line in err.splitlines()]
    assert [line for line in lines if line in ("never begun: cached", "[bold]not markup[/bold]", "fetch: failed")] == [
        "never begun: cached",
        "[bold]not markup[/bold]",
        "fetch: failed",
    ]


def test_a_live_line_shows_the_count_or_the_last_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    live = Live()
    live.begin("fetch", total=98_200_000, unit="bytes")
    live.begin("layer base-os")
    live.advance("fetch", 45_200_000)
    live.detail("layer base-os", "Setting up [a]libc6 " + "x" * 100)
    live.detail("never begun", "text")
    live.note("drawn")
    live.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).splitlines()
    (*_, fetch), (*_, layer) = ([line for line in shown if task in line] for task in ("fetch", "layer base-os"))
    assert re.search(r"45\.2 MB of 98\.2 MB 0:00:0\d", fetch)
    assert re.search(r"0:00:0\d Setting up \[a\]libc6 x+…", layer), "one line, whatever the width"


def test_digests_and_tables() -> None:
    assert short("sha256:" + "ab" * 32) == short("ab" * 32) == "abababababab"
    assert short(None) == "-"
    assert table(("a", "long head"), [("x y", "1"), ("z", "")]) == "a    long head\nx y  1\nz"
    assert table(("only", "head"), []) == "only  head"
