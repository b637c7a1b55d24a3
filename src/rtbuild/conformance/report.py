"""The outcome of checking an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The outcome of one check: `promise` is what it checks, `details` what was found instead (empty if it passed)."""

    name: str
    promise: str
    passed: bool
    details: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The outcome of all checks, in the order of the documentation.

    `is_runtime` says whether it is a runtime image; `runtime` and `airflow` are the versions in its labels, empty
    if it has no such label.
    """

    image: str
    is_runtime: bool
    runtime: str
    airflow: str
    passed: bool
    results: tuple[CheckResult, ...]
    seconds: float


def describe_check(report: CheckReport) -> str:
    """Return the report as a table, with what was found below each check that failed."""
    width = max((len(result.name) for result in report.results), default=0)
    versions = f": runtime {report.runtime or 'unknown'}, Airflow {report.airflow or 'unknown'}"
    lines = [f"{report.image}{versions if report.is_runtime else ''}"]
    for result in report.results:
        verdict = "passed" if result.passed else "FAILED"
        lines.append(f"{verdict}  {result.name:<{width}}  {result.promise} ({result.seconds:.1f} s)")
        if not result.passed:
            lines += [f"        {line}" for line in result.details.splitlines()]
    failed = sum(not result.passed for result in report.results)
    count = len(report.results)
    total = f"{failed} of {count} checks FAILED" if failed else f"all {count} checks passed"
    lines.append(f"{total} in {report.seconds:.0f} s")
    return "\n".join(lines)
