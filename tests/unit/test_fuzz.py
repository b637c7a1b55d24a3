"""Every parser on a few damaged samples, and on everything that was ever found; `nox -s fuzz` tries many more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError
from tests.fuzz import parsers, run
from tests.fuzz.target import SCRATCH, Target
from tests.fuzz.targets import targets

pytestmark = pytest.mark.slow

RUNS = 200
"""Inputs for each target: seconds in total."""
TARGETS = {target.name: target for target in targets()}
FOUND = [(target.name, path) for target in TARGETS.values() for path in run.found(target)]


@pytest.fixture(autouse=True)
def scratch() -> Iterator[None]:
    yield
    SCRATCH.close()


@pytest.mark.parametrize("name", TARGETS)
def test_samples_are_accepted(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].parse(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_samples_are_parsed_or_refused(name: str) -> None:
    target = TARGETS[name]
    assert [reason for _, reason in run.find(target, range(RUNS // 10 if target.slow else RUNS))] == []


@pytest.mark.parametrize(("name", "path"), FOUND, ids=[f"{name}-{path.stem}" for name, path in FOUND])
def test_what_was_found_stays_mended(name: str, path: Path) -> None:
    assert run.failure_of(TARGETS[name], path.read_bytes()) is None


def test_every_find_belongs_to_a_target() -> None:
    assert {folder.name for folder in run.FOUND.iterdir()} <= set(TARGETS)


def test_every_parser_has_a_target_or_a_reason() -> None:
    """A new parser needs a target; a reason without its function, or with a target by now, has to go."""
    with parsers.watched() as run_by_samples:
        for target in TARGETS.values():
            for seed in target.seeds:
                target.parse(seed)
    assert parsers.parsing_functions() - run_by_samples == set(parsers.TRUSTED)


def test_inputs_are_the_same_in_every_run() -> None:
    target = TARGETS["tar"]
    assert list(run.inputs(target, range(5, 9))) == list(run.inputs(target, range(9)))[5:]


def outcome(parse: Callable[[bytes], object]) -> str:
    """Return why an input of a target with this parser is a find; empty if it is none."""
    return run.failure_of(Target("x", [b""], parse, (IntegrityError,)), b"") or ""


def test_a_hang_a_traceback_and_too_much_memory_are_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SECONDS", 0.1)

    def refuse(content: bytes) -> None:
        raise IntegrityError("as it should")

    assert outcome(lambda _: time.sleep(9)).startswith("took more than 0.1 s")
    assert outcome(lambda content: content[1]).endswith("IndexError: index out of range\n")
    assert outcome(lambda _: bytearray(8 << 30)).endswith("MemoryError\n")
    assert outcome(refuse) == ""
