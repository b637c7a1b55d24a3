"""The states of Debian suites, as `rtbuild lock` prints them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rtbuild.cli.suites import suite_documents, suite_lines
from tests.fakes import locks

NOW = datetime(2023, 5, 20, tzinfo=UTC)


def test_a_line_says_how_long_a_suite_has_expired() -> None:
    suites = [
        locks.suite(),
        replace(locks.suite("sid"), valid_until=NOW),
        replace(locks.suite("sid"), valid_until=NOW - timedelta(days=1, hours=2)),
        replace(locks.suite("sid-security", archive="debian-security"), valid_until=NOW - timedelta(days=14)),
    ]
    assert suite_lines(suites, NOW) == [
        "  debian bullseye: InRelease of 2023-04-29 09:08 UTC",
        "  debian sid: InRelease of 2023-04-29 09:08 UTC",
        "  debian sid: InRelease of 2023-04-29 09:08 UTC, 1 day past its Valid-Until",
        "  debian-security sid-security: InRelease of 2023-04-29 09:08 UTC, 14 days past its Valid-Until",
    ]


def test_a_document_says_whether_a_suite_has_expired() -> None:
    now = datetime.now(UTC)
    suites = [replace(locks.suite(), valid_until=now + timedelta(days=days)) for days in (-1, 1)]
    assert [document["expired"] for document in suite_documents(suites)] == [True, False]
