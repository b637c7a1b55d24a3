"""Errors: what each carries, and the exit codes that scripts rely on."""

from __future__ import annotations

import pytest

from rtbuild import errors
from rtbuild.errors import LockError, NotReproducibleError, RtbuildError, StaleLockError, UsageError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RtbuildError)]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_carries_a_brief_details_and_a_hint(error: type[RtbuildError]) -> None:
    raised = error("lock: is missing", details="a\nb", hint="create it")
    assert (str(raised), raised.brief, raised.details, raised.hint) == (
        "lock: is missing",
        "lock: is missing",
        "a\nb",
        "create it",
    )
    assert (error("x").details, error("x").hint) == (None, None)


def test_every_class_is_an_rtbuild_error_with_a_docstring() -> None:
    assert [value for value in vars(errors).values() if isinstance(value, type)] == CLASSES
    assert all((error.__doc__ or "").strip() for error in CLASSES)


def test_exit_codes() -> None:
    codes = {error: error.exit_code for error in CLASSES}
    assert {error: code for error, code in codes.items() if code != 1} == {UsageError: 2, NotReproducibleError: 3}


def test_whoever_catches_lock_errors_catches_stale_locks() -> None:
    assert issubclass(StaleLockError, LockError)
