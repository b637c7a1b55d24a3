"""Which checks run, and what becomes of their failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rtbuild.conformance.suite import GENERAL_CHECKS, RUNTIME_CHECKS, require_known, run_checks, select_checks
from rtbuild.engine.containers import RunOutcome
from rtbuild.errors import EngineError, UsageError
from rtbuild.progress import Silent
from tests.fakes.runtime_image import RuntimeImage, outcome


def test_an_engine_that_fails_during_a_check_fails_the_check() -> None:
    def refuse(command: Sequence[str], options: dict[str, Any]) -> RunOutcome:
        raise EngineError("nothing runs here", details="at all")

    checks = select_checks(["labels", "silence", "config"], runtime=True)
    report = run_checks(RuntimeImage(answer=refuse).subject(), checks, jobs=2, progress=Silent())
    assert [(result.name, result.passed, result.details) for result in report.results] == [
        ("config", True, ""),
        ("labels", True, ""),
        ("silence", False, "nothing runs here\nat all"),
    ]
    assert (report.image, report.passed, report.runtime, report.airflow) == ("here", False, "8.0.0", "2.6.0")


@pytest.mark.parametrize("printed", ["", "[1]", "{}", "null", "not JSON", "[" * 100_000, '{"version": 1}'])
def test_an_image_that_prints_something_else_fails_the_check(printed: str) -> None:
    image = RuntimeImage(answer=lambda command, options: outcome(printed))
    report = run_checks(image.subject(), select_checks(["settings", "user"], runtime=True), jobs=2, progress=Silent())
    assert [result.passed for result in report.results] == [False, False]
    assert all(result.details for result in report.results)


def test_checks_that_must_not_be_slowed_down_run_last_and_one_after_the_other() -> None:
    running: list[str] = []

    class Told(Silent):
        def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
            running.append(task)

        def end(self, task: str, outcome: str = "done") -> None:
            running.append(f"{task}: {outcome}")

    checks = select_checks(["stop-triggerer", "stop-scheduler", "user"], runtime=True)
    report = run_checks(RuntimeImage().subject(), checks, jobs=8, progress=Told())
    assert report.passed
    assert running == [
        "check user",
        "check user: passed",
        "check stop-scheduler",
        "check stop-scheduler: passed",
        "check stop-triggerer",
        "check stop-triggerer: passed",
    ]


def test_all_checks_are_selected_by_default_and_an_unknown_name_is_an_error() -> None:
    assert select_checks([], runtime=True) == RUNTIME_CHECKS
    assert select_checks([], runtime=False) == GENERAL_CHECKS
    with pytest.raises(UsageError) as caught:
        require_known(["labells"])
    assert caught.value.brief == "unknown check 'labells'"
    assert caught.value.hint is not None
    assert "labels" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "runtime", "kind"),
    [("pip", True, "a runtime image"), ("pins", False, "an image that is no runtime image")],
)
def test_a_check_of_another_kind_of_image_is_an_error(name: str, runtime: bool, kind: str) -> None:
    with pytest.raises(UsageError) as caught:
        select_checks([name], runtime=runtime)
    assert caught.value.brief == f"{name!r} is not a check of {kind}"


def test_a_check_that_does_not_apply_has_no_result() -> None:
    def no_python(command: Sequence[str], options: dict[str, Any]) -> RunOutcome | None:
        return outcome("dpkg\n") if "python3 -m pip --version" in command[-1] else None

    subject = RuntimeImage(answer=no_python, config={"User": "app"}).subject()
    report = run_checks(subject, select_checks([], runtime=False), jobs=2, progress=Silent())
    assert [result.name for result in report.results] == ["account", "dpkg"]
    assert (report.passed, report.is_runtime) == (True, False)


def test_every_check_has_its_own_name_and_description() -> None:
    checks = (*RUNTIME_CHECKS, *GENERAL_CHECKS)
    assert len({check.name for check in checks}) == len({check.promise for check in checks}) == len(checks)
