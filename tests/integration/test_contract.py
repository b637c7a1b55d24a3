"""What the image promises is kept, by the image and by what users make of it; and a promise that is broken is told."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rtbuild.conformance.report import CheckReport, describe_check
from rtbuild.settings import Settings
from rtbuild.verbs.check import check_image, check_release
from rtbuild.workspace import Workspace
from tests.integration.child_projects import Builder
from tests.integration.conftest import AMD64, BuiltImage
from tests.integration.told import Told

pytestmark = pytest.mark.integration

# Machines that run tests are busy: here counts that Airflow ends by itself.
GRACE = 120.0


@pytest.fixture(scope="module")
def builder(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    builder = Builder(engine=image.engine, folder=tmp_path_factory.mktemp("projects"))
    yield builder
    builder.clear()


def verdicts(report: CheckReport) -> dict[str, str]:
    """What is said of each promise that is not kept."""
    return {result.name: result.details for result in report.results if not result.passed}


def test_the_release_keeps_every_promise(image: BuiltImage, workspace: Workspace, settings: Settings) -> None:
    report = check_release(workspace, "8.0", platform=AMD64, settings=settings, grace=GRACE, progress=Told())
    assert verdicts(report) == {}, describe_check(report)
    assert (report.passed, report.runtime, report.airflow) == (True, "8.0.0", "2.6.0")
    assert len(report.results) == 20


def test_a_users_image_keeps_them_as_well(builder: Builder, image: BuiltImage) -> None:
    files = {"packages.txt": "", "requirements.txt": "", "dags/dag.py": "", "plugins/plugin.py": ""}
    built = builder.build(image.reference, files).succeeded()
    slow = ("stop-scheduler", "stop-webserver", "stop-triggerer")
    names = [one.name for one in check_image(image.engine, built.reference, only=["config"]).results]
    assert names == ["config"]
    quick = [
        *("user", "folders", "airflow-home", "programs", "environment", "config", "command", "shell", "labels", "pins"),
        *("settings", "silence", "first-process", "foreign-uid", "read-only", "dead-database", "interrupted"),
    ]
    assert not set(quick) & set(slow)
    report = check_image(image.engine, built.reference, only=quick)
    assert verdicts(report) == {}, describe_check(report)


STOPS = {"stop-scheduler", "stop-webserver", "stop-triggerer"}
DEAF = """trap '' TERM; "$0" "$@"; exit $?"""
ABRUPT = """trap 'kill -9 $!; exit 0' TERM; "$0" "$@" & wait $!"""

BROKEN = {
    "user": ("USER root", {"user", "config"}),
    "labels": ('LABEL io.astronomer.docker.runtime.version="eight"', {"labels", "environment"}),
    "versions": ('LABEL io.astronomer.docker.airflow.version="2.5.0"', {"settings"}),
    "entrypoint": ('ENTRYPOINT ["/bin/sh", "-c", "echo hello; exec \\"$0\\" \\"$@\\""]', {"config", "silence"}),
    "ports": ("EXPOSE 8080\nHEALTHCHECK CMD true", {"config"}),
    "pins": ("USER root\nRUN rm /etc/pip.conf\nUSER astro", {"pins"}),
    "folders": ("USER root\nRUN chmod 755 /usr/local/airflow && rmdir tests\nUSER astro", {"folders", "foreign-uid"}),
    "logs": ("USER root\nRUN chmod 755 logs\nUSER astro", {"folders", "foreign-uid"}),
    "programs": ("USER root\nRUN rm $(command -v nc)\nUSER astro\nENV PATH=/usr/local/bin:/usr/bin:/bin", {"programs"}),
    "environment": ("ENV LANG=C AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL=300", {"environment", "settings"}),
    "shell": ('SHELL ["/bin/sh", "-c"]', {"shell"}),
    "home": ("USER root\nRUN mkdir /opt/airflow\nUSER astro\nENV AIRFLOW_HOME=/opt/airflow", {"read-only"}),
    # The one hears no signal, the other lets nobody hear it
    "deaf": (f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', DEAF])}", STOPS),
    "abrupt": (f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', ABRUPT])}", STOPS),
    "waiting": ("ENTRYPOINT []", {"config", "dead-database", "first-process", "interrupted"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_told(builder: Builder, image: BuiltImage, name: str) -> None:
    dockerfile, broken = BROKEN[name]
    built = builder.build(f"{image.reference}-base", dockerfile=dockerfile + "\n").succeeded()
    report = check_image(image.engine, built.reference, only=sorted(broken))
    assert set(verdicts(report)) == broken, describe_check(report)
    assert all(verdicts(report).values())
    assert not report.passed
