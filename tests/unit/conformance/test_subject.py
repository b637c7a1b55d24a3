"""How checks look at an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rtbuild.conformance.subject import LIMIT, CheckFailure, require
from rtbuild.engine.containers import RunOutcome
from tests.fakes.runtime_image import FACTS, RuntimeImage, outcome


def test_the_probe_runs_once_for_all_checks() -> None:
    runs: list[dict[str, Any]] = []

    def count(command: Sequence[str], options: dict[str, Any]) -> None:
        runs.append(options)

    subject = RuntimeImage(answer=count).subject()
    assert subject.facts == subject.facts == FACTS
    assert runs == [{"timeout": LIMIT}]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (outcome(stderr="no python", exit_code=127), r"a Python program cannot run \(exit code 127\)\nno python"),
        (outcome("hello\n{}"), "standard output holds more than the program wrote: 'hello"),
        (outcome("[]"), r"standard output does not hold what the program wrote: '\[\]'"),
    ],
)
def test_a_probe_without_a_proper_answer_fails_the_check(answer: RunOutcome, message: str) -> None:
    with pytest.raises(CheckFailure, match=message):
        _ = RuntimeImage(answer=lambda command, options: answer).subject().facts


def test_a_failure_shows_the_end_of_what_a_command_wrote() -> None:
    with pytest.raises(CheckFailure) as caught:
        require(False, "it fails", outcome("x" * 5000, stderr="end", exit_code=1))
    text = str(caught.value)
    assert text.startswith("it fails (exit code 1)\nxxx")
    assert text.endswith("xend")
    assert len(text) < 1600
