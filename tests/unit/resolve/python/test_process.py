"""The process that runs pip, and what becomes of it when a conversation fails."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

import pytest

from rtbuild.errors import ResolutionError
from rtbuild.formats.project_page import ProjectFile, render_project_page
from rtbuild.platform import PLATFORMS
from rtbuild.resolve.python.messages import Answer, Chosen, Impossible, Start, decode_report, encode
from rtbuild.resolve.python.process import PipProcess
from rtbuild.resolve.python.target import target_for

pytestmark = pytest.mark.slow

TARGET = target_for(PLATFORMS["linux/amd64"], "3.9.2", (2, 31))
SPAM: ProjectFile = {
    "filename": "spam-1.0-py3-none-any.whl",
    "url": "/files/spam-1.0-py3-none-any.whl",
    "hashes": {"sha256": "a" * 64},
    "upload-time": "2023-01-01T00:00:00Z",
    "core-metadata": True,
}
ANSWERS: dict[str, Answer] = {
    "page": {"content": render_project_page("spam", [SPAM])},
    "metadata": {"content": "Metadata-Version: 2.1\nName: spam\nVersion: 1.0\n"},
}


class Client:
    """Asks for spam. `failure` is raised instead of the first answer."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.folder: Path | None = None

    def hold(self, folder: Path, answers: IO[bytes], reports: IO[bytes]) -> Chosen | Impossible | None:
        self.folder = folder
        start: Start = {
            "requirements": ["spam"],
            "constraints": [],
            "preferences": {},
            "as_of": "2023-05-01T00:00:00+00:00",
            "python": list(TARGET.python),
            "platform_tags": list(TARGET.platform_tags),
            "environment": dict(TARGET.environment),
            "folder": str(folder),
        }
        self.write(answers, encode(start))
        for line in reports:
            report = decode_report(line)
            match report["kind"]:
                case "page" | "metadata":
                    if self.failure is not None:
                        raise self.failure
                    self.write(answers, encode(ANSWERS[report["kind"]]))
                case "chosen" | "impossible":
                    return report
        return None

    def write(self, stream: IO[bytes], line: str) -> None:
        stream.write(line.encode())
        stream.flush()


class Nonsense(Client):
    """Asks for nothing that pip understands."""

    def write(self, stream: IO[bytes], line: str) -> None:
        super().write(stream, "{}\n")


CHOSEN: Chosen = {"kind": "chosen", "packages": {"spam": "1.0"}}


def test_one_process_holds_several_conversations(pip: PipProcess) -> None:
    first, second = Client(), Client()
    assert pip.converse(first) == CHOSEN
    process = pip._process
    assert pip.converse(second) == CHOSEN
    assert pip._process is process
    assert first.folder != second.folder


def test_a_process_that_ends_without_a_result_says_why() -> None:
    with PipProcess() as pip:
        with pytest.raises(ResolutionError, match="pip's resolver ended without a result") as caught:
            pip.converse(Nonsense())
        assert "KeyError: 'environment'" in str(caught.value.details)
        assert pip.converse(Client()) == CHOSEN, "the next conversation gets another process"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ResolutionError("no")])
def test_a_failure_ends_the_process_and_its_forks(failure: BaseException) -> None:
    with PipProcess() as pip:
        client = Client(failure)
        with pytest.raises(type(failure)):
            pip.converse(client)
        assert client.folder is not None
        assert not client.folder.parent.exists()
        assert pip._process is None


def test_nothing_runs_once_it_is_closed() -> None:
    with PipProcess() as pip:
        pip.converse(Client())
        assert pip._process is not None
        group = pip._process.pid
        os.killpg(group, 0)
    assert ends(group)


def ends(group: int) -> bool:
    """Wait up to ten seconds for the last process of a group to end."""
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_process_that_is_not_needed_is_not_started() -> None:
    with PipProcess() as pip:
        assert pip._process is None
