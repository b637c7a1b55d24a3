"""The suite of checks: all of them in order, choosing some, and running them on an image."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from rtbuild.conformance import behaviour, general, statics
from rtbuild.conformance.report import CheckReport, CheckResult
from rtbuild.conformance.subject import Check, CheckFailure, Subject
from rtbuild.errors import RtbuildError, UsageError
from rtbuild.progress import Progress

RUNTIME_CHECKS: tuple[Check, ...] = (*statics.STATIC_CHECKS, *behaviour.BEHAVIOUR_CHECKS)
"""The checks of runtime images, in the order of reports."""

GENERAL_CHECKS = general.GENERAL_CHECKS
"""The checks of other images, in the order of reports."""


def require_known(only: Collection[str]) -> None:
    """Check that each name in `only` is that of a check.

    Raises:
        UsageError: if one is not.
    """
    known = [check.name for check in (*RUNTIME_CHECKS, *GENERAL_CHECKS)]
    for name in only:
        if name not in known:
            raise UsageError(f"unknown check {name!r}", hint=f"known checks: {', '.join(known)}")


def select_checks(only: Collection[str], *, runtime: bool) -> tuple[Check, ...]:
    """Return the checks named in `only`, or all of them if it is empty, in the order of reports.

    Args:
        only: The names of checks.
        runtime: Whether the image is a runtime image, which has checks of its own.

    Raises:
        UsageError: if a name is not that of a check of such an image.
    """
    require_known(only)
    checks = RUNTIME_CHECKS if runtime else GENERAL_CHECKS
    names = [check.name for check in checks]
    for name in only:
        if name not in names:
            kind = "a runtime image" if runtime else "an image that is no runtime image"
            raise UsageError(f"{name!r} is not a check of {kind}", hint=f"its checks: {', '.join(names)}")
    return tuple(check for check in checks if not only or check.name in only)


def run_checks(subject: Subject, checks: Sequence[Check], *, jobs: int, progress: Progress) -> CheckReport:
    """Run `checks` on the image of `subject`, up to `jobs` at once; a check that fails is a result, not an error.

    A check that does not apply to the image has no result.
    """
    begun = time.monotonic()

    def run(check: Check) -> CheckResult | None:
        progress.begin(f"check {check.name}")
        result = _run_check(check, subject)
        outcome = "does not apply" if result is None else "passed" if result.passed else "FAILED"
        progress.end(f"check {check.name}", outcome)
        return result

    with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="check") as pool:
        outcomes = list(pool.map(run, [check for check in checks if check.name not in behaviour.ALONE]))
    outcomes += [run(check) for check in checks if check.name in behaviour.ALONE]
    results = tuple(result for result in outcomes if result is not None)
    return CheckReport(
        image=subject.reference,
        is_runtime=subject.is_runtime,
        runtime=subject.labels.get(statics.RUNTIME_LABEL, ""),
        airflow=subject.labels.get(statics.AIRFLOW_LABEL, ""),
        passed=all(result.passed for result in results),
        results=results,
        seconds=time.monotonic() - begun,
    )


def _run_check(check: Check, subject: Subject) -> CheckResult | None:
    """Run one check; return None if it does not apply to the image."""
    begun = time.monotonic()
    details = ""
    try:
        if not check.applies(subject):
            return None
        check.body(subject)
    except CheckFailure as failure:
        details = str(failure)
    except RtbuildError as error:
        # A container that cannot start or a command that hangs is the image's fault, as far as can be told
        details = "\n".join(filter(None, (error.brief, error.details)))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # So is a program in it that prints something else than its check asked for
        details = f"what the image printed is not what was asked for: {type(error).__name__}: {error}"
    return CheckResult(
        name=check.name,
        promise=check.promise,
        passed=not details,
        details=details,
        seconds=time.monotonic() - begun,
    )
