"""The suite of checks: all of them in order, choosing some, and running them on an image."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from rtbuild.conformance import behaviour, statics
from rtbuild.conformance.report import CheckReport, CheckResult
from rtbuild.conformance.subject import Check, CheckFailure, Subject
from rtbuild.errors import RtbuildError, UsageError
from rtbuild.progress import Progress

CHECKS: tuple[Check, ...] = (*statics.STATIC_CHECKS, *behaviour.BEHAVIOUR_CHECKS)
"""Every check, in the order of reports."""


def select_checks(only: Collection[str] = ()) -> tuple[Check, ...]:
    """Return the checks named in `only`, or all of them if it is empty, in the order of `CHECKS`.

    Raises:
        UsageError: if a name is not that of a check.
    """
    known = {check.name: check for check in CHECKS}
    for name in only:
        if name not in known:
            raise UsageError(f"unknown check {name!r}", hint=f"known checks: {', '.join(known)}")
    return tuple(check for check in CHECKS if not only or check.name in only)


def run_checks(subject: Subject, checks: Sequence[Check], *, jobs: int, progress: Progress) -> CheckReport:
    """Run `checks` on the image of `subject`, up to `jobs` at once; a check that fails is a result, not an error."""
    begun = time.monotonic()

    def run(check: Check) -> CheckResult:
        progress.begin(f"check {check.name}")
        result = _run_check(check, subject)
        progress.end(f"check {check.name}", "passed" if result.passed else "FAILED")
        return result

    with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="check") as pool:
        results = tuple(pool.map(run, [check for check in checks if check.name not in behaviour.ALONE]))
    results += tuple(run(check) for check in checks if check.name in behaviour.ALONE)
    return CheckReport(
        image=subject.reference,
        runtime=subject.labels.get(statics.RUNTIME_LABEL, ""),
        airflow=subject.labels.get(statics.AIRFLOW_LABEL, ""),
        passed=all(result.passed for result in results),
        results=results,
        seconds=time.monotonic() - begun,
    )


def _run_check(check: Check, subject: Subject) -> CheckResult:
    begun = time.monotonic()
    details = ""
    try:
        check.body(subject)
    except CheckFailure as failure:
        details = str(failure)
    except RtbuildError as error:
        # A container that cannot start or a command that hangs is the image's fault, as far as can be told
        details = "\n".join(filter(None, (error.brief, error.details)))
    return CheckResult(
        name=check.name,
        promise=check.promise,
        passed=not details,
        details=details,
        seconds=time.monotonic() - begun,
    )
