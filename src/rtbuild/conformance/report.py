"""What came out of trying an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One promise that was tried. `details` says what was found instead, where it was not kept."""

    name: str
    promise: str
    passed: bool
    details: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """All promises, in the order of the documentation. `runtime` and `airflow` are the versions the image says it has,
    empty where it does not say."""

    image: str
    runtime: str
    airflow: str
    passed: bool
    results: tuple[CheckResult, ...]
    seconds: float


def describe_check(report: CheckReport) -> str:
    """The report as a table for a reader; what was found instead stands below a promise that is not kept."""
    width = max((len(result.name) for result in report.results), default=0)
    lines = [f"{report.image}: runtime {report.runtime or 'unknown'}, Airflow {report.airflow or 'unknown'}"]
    for result in report.results:
        verdict = "kept  " if result.passed else "BROKEN"
        lines.append(f"{verdict}  {result.name:<{width}}  {result.promise} ({result.seconds:.1f} s)")
        if not result.passed:
            lines += [f"        {line}" for line in result.details.splitlines()]
    broken = sum(not result.passed for result in report.results)
    kept = f"all {len(report.results)} promises are kept"
    lines.append(f"{broken} of {len(report.results)} promises are BROKEN" if broken else kept)
    lines[-1] += f", in {report.seconds:.0f} s"
    return "\n".join(lines)
