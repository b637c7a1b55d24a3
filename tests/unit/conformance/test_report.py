"""How a report reads."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.conformance.report import CheckReport, CheckResult, describe_check

PASSED = CheckResult(name="user", promise="runs as astro", passed=True, details="", seconds=0.41)
FAILED = CheckResult(name="silence", promise="says nothing", passed=False, details="it says\nhello", seconds=2)
REPORT = CheckReport(
    image="team/airflow:1",
    is_runtime=True,
    runtime="8.0.0",
    airflow="",
    passed=False,
    results=(PASSED, FAILED),
    seconds=3.2,
)


def test_a_report_is_a_table_with_what_was_found_below_each_failure() -> None:
    assert describe_check(REPORT).splitlines() == [
        "team/airflow:1: runtime 8.0.0, Airflow unknown",
        "passed  user     runs as astro (0.4 s)",
        "FAILED  silence  says nothing (2.0 s)",
        "        it says",
        "        hello",
        "1 of 2 checks FAILED in 3 s",
    ]


def test_a_report_without_failures_says_so() -> None:
    report = replace(REPORT, airflow="2.6.0", passed=True, results=(PASSED,))
    assert describe_check(report).splitlines() == [
        "team/airflow:1: runtime 8.0.0, Airflow 2.6.0",
        "passed  user  runs as astro (0.4 s)",
        "all 1 checks passed in 3 s",
    ]


def test_an_image_without_airflow_has_no_versions_of_it() -> None:
    report = replace(REPORT, image="team/flask:1", is_runtime=False, runtime="", passed=True, results=(PASSED,))
    assert describe_check(report).splitlines()[0] == "team/flask:1"
