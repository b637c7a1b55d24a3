"""Rules for all tests: every module is collected, and a test that would be skipped fails."""

from __future__ import annotations

import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no failure, and with a process for each core every machine is busy.
PATIENT = hypothesis.settings(deadline=None)
hypothesis.settings.register_profile("patient", PATIENT)
hypothesis.settings.register_profile("quick", PATIENT, max_examples=30)
hypothesis.settings.load_profile("patient")

# A shell's background job ignores Ctrl-C, and so would every process that tests start from it to interrupt it.
signal.signal(signal.SIGINT, signal.default_int_handler)

_HOLDS_TESTS = re.compile(r"^(async )?def test_|^class Test", re.MULTILINE)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long contents after their argument: those of an archive differ in every process, and nobody reads them."""
    return argname if isinstance(val, bytes) and len(val) > 20 else None


# --- no test is skipped ----------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped or expected failure into a failure: a test that did not run has shown nothing."""
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same with a module that skips itself, as `pytest.importorskip` does."""
    report = yield
    fail_if_skipped(report)
    return report


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason.removeprefix('Skipped: ')}\nA test must not be skipped: install what it needs."


# --- every test module is collected ----------------------------------------------------------------------------------


class Uncollected(pytest.Item):
    """Stands for a test module of which no test was collected, and fails."""

    def runtest(self) -> None:
        pytest.fail("no test of this module was collected: is it named test_*.py?", pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add a failing test for every module with tests, in the folders asked for, that was not collected."""
    config = session.config
    if config.getoption("lf", False) or config.getoption("ignore") or config.getoption("pyargs"):
        return
    collected = {item.path for item in items}
    folders = [Path(config.invocation_params.dir, argument) for argument in config.args if "::" not in argument]
    for path in sorted({path for folder in folders for path in modules_with_tests(folder)} - collected):
        name = str(path.relative_to(config.rootpath)) if path.is_relative_to(config.rootpath) else str(path)
        items.append(Uncollected.from_parent(session, name=name))


def modules_with_tests(folder: Path) -> Iterator[Path]:
    """Yield the modules below `folder` that are named like test modules or define tests."""
    for path in folder.resolve().rglob("*.py"):
        if path.name.startswith("test_") or _HOLDS_TESTS.search(path.read_text(encoding="utf-8")):
            yield path
