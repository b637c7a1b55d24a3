"""What each check of the containers' behaviour accepts and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rtbuild.conformance import behaviour
from rtbuild.conformance.subject import CheckFailure, Subject
from rtbuild.engine.containers import RunOutcome
from tests.fakes.runtime_image import FACTS, FOLDER, LOGS, SETTINGS, FakeContainer, RuntimeImage, outcome

WAITED = "no answer from the database at 127.0.0.1:1"
CODES = {"stop-webserver": 1, "interrupted": 143}
"""What a container of a good image ends with after `docker stop`, unless that is 0."""


@dataclass
class Clock:
    """Time that passes only while something sleeps."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(behaviour, "time", clock)
    return clock


@dataclass
class Answers:
    """The outcome of each command that starts with the words of a key; waiting for a database takes `wait` seconds."""

    clock: Clock
    outcomes: dict[tuple[str, ...], RunOutcome]
    wait: float = 2.5

    def __call__(self, command: Sequence[str], options: dict[str, Any]) -> RunOutcome | None:
        if tuple(command) == ("airflow", "db", "check"):
            self.clock.sleep(self.wait)
        return next((outcome for key, outcome in self.outcomes.items() if tuple(command[: len(key)]) == key), None)


@pytest.mark.parametrize("check", [pytest.param(check, id=check.name) for check in behaviour.BEHAVIOUR_CHECKS])
def test_a_good_image_passes(check: Any, clock: Clock) -> None:
    container = FakeContainer(code=CODES.get(check.name, 0))
    check.body(RuntimeImage(answer=Answers(clock, {}), container=container).subject(airflow="2.6.0"))


@pytest.mark.parametrize(
    ("check", "outcomes", "message"),
    [
        (
            behaviour.settings,
            {("python", "-W"): outcome(stderr="boom", exit_code=1)},
            "Airflow does not report its settings (exit code 1)\nboom",
        ),
        (
            behaviour.settings,
            {("python", "-W"): outcome(json.dumps({**SETTINGS, "version": "2.5.0"}))},
            "Airflow's version is '2.5.0', not '2.6.0'",
        ),
        (
            behaviour.settings,
            {("python", "-W"): outcome(json.dumps({**SETTINGS, "dag_dir_list_interval": 300}))},
            "dag_dir_list_interval is 300, not 30",
        ),
        (behaviour.silence, {("true",): outcome("hello")}, "a command without output has output (exit code 0)\nhello"),
        (behaviour.silence, {("pip",): outcome(exit_code=2)}, "`pip freeze` fails (exit code 2)"),
        (behaviour.silence, {("pip",): outcome("hello\na==1\n")}, "`pip freeze` prints more than packages: hello"),
        (behaviour.first_process, {("sh", "-c", "exit 42"): outcome()}, "exit code 42 of a command is lost"),
        (behaviour.foreign_uid, {("sh", "-c"): outcome(exit_code=1)}, "Airflow does not work (exit code 1)"),
        (behaviour.read_only, {("sh", "-c"): outcome(exit_code=1)}, "Airflow does not work on a read-only root"),
        (behaviour.dead_database, {("airflow",): outcome()}, "the command does not fail by itself"),
        (behaviour.dead_database, {("airflow",): outcome(exit_code=1)}, "no message names the database"),
        (
            behaviour.dead_database,
            {("airflow",): outcome(stderr=f"{WAITED} (secret)", exit_code=1)},
            "the message shows the password",
        ),
        (
            behaviour.dead_database,
            {("airflow",): outcome("waiting", stderr=WAITED, exit_code=1)},
            "the wait writes to standard output",
        ),
        (behaviour.dead_database, {("pip",): outcome(stderr="waiting")}, "`pip` waits for a database"),
    ],
)
def test_each_defect_fails_its_check(
    check: Callable[[Subject], None], outcomes: dict[tuple[str, ...], RunOutcome], message: str, clock: Clock
) -> None:
    with pytest.raises(CheckFailure) as caught:
        check(RuntimeImage(answer=Answers(clock, outcomes)).subject(airflow="2.6.0"))
    assert message in str(caught.value)


def test_a_wait_for_a_database_must_last_as_long_as_it_is_told(clock: Clock) -> None:
    with pytest.raises(CheckFailure, match=r"the wait ended after 0\.5 s, before the limit of 2 s"):
        behaviour.dead_database(RuntimeImage(answer=Answers(clock, {}, wait=0.5)).subject())


def test_tini_must_be_process_1() -> None:
    with pytest.raises(CheckFailure, match="the first process is 'bash', not tini"):
        behaviour.first_process(RuntimeImage(facts={**FACTS, "first_process": ["bash"]}).subject())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"umask": 0o022}, "umask is 18, not 2"),
        ({"home_folder": None}, "home is not writable"),
        ({"folders": {**FACTS["folders"], "logs": FOLDER | {"writable": False}}}, "logs is not writable"),
    ],
)
def test_a_foreign_uid_needs_writable_folders(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckFailure, match=message):
        behaviour.foreign_uid(RuntimeImage(facts={**FACTS, **facts}).subject())


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            FakeContainer(written="", ended=3),
            "`airflow scheduler` does not start: the container ended with exit code 3",
        ),
        (FakeContainer(written="starting"), "`airflow scheduler` does not start within 300 s\nstarting"),
        (FakeContainer(code=137), "the container was killed after 10 s"),
        (FakeContainer(code=1), "the container ended with exit code 1"),
        (
            FakeContainer(written="Resetting orphaned tasks"),
            "the container ended abruptly, without logging 'Exited execute loop'",
        ),
    ],
)
def test_a_scheduler_must_start_and_stop_in_order(container: FakeContainer, message: str, clock: Clock) -> None:
    with pytest.raises(CheckFailure) as caught:
        behaviour.stop_scheduler(RuntimeImage(container=container).subject())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "health",
    [
        outcome(exit_code=22),
        outcome(json.dumps({"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}})),
    ],
)
def test_airflow_must_become_healthy(health: RunOutcome, clock: Clock) -> None:
    container = FakeContainer(written=LOGS, health=health)
    with pytest.raises(CheckFailure, match="under uid 123456, Airflow does not become healthy within 300 s"):
        behaviour.read_only(RuntimeImage(container=container).subject())
