"""The image and what users build on it pass every check, and each defect fails the checks that it should."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rtbuild.conformance.report import CheckReport, describe_check
from rtbuild.settings import Settings
from rtbuild.verbs.check import check, check_image
from rtbuild.workspace import Workspace
from tests.integration.child_projects import Builder
from tests.integration.conftest import AMD64, BuiltImage
from tests.integration.told import Told

pytestmark = pytest.mark.integration

# Machines that run tests are busy: what counts here is that Airflow ends by itself.
GRACE = 120.0


@pytest.fixture(scope="module")
def builder(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    builder = Builder(engine=image.engine, folder=tmp_path_factory.mktemp("projects"))
    yield builder
    builder.clear()


def failures(report: CheckReport) -> dict[str, str]:
    """The details of each check that failed."""
    return {result.name: result.details for result in report.results if not result.passed}


def test_the_release_passes_every_check(image: BuiltImage, workspace: Workspace, settings: Settings) -> None:
    report = check(workspace, "8.0", platform=AMD64, settings=settings, grace=GRACE, progress=Told())
    assert failures(report) == {}, describe_check(report)
    assert (report.passed, report.runtime, report.airflow) == (True, "8.0.0", "2.6.0")
    assert len(report.results) == 22


def test_a_users_image_passes_them_too(builder: Builder, image: BuiltImage, settings: Settings) -> None:
    files = {"packages.txt": "", "requirements.txt": "", "dags/dag.py": "", "plugins/plugin.py": ""}
    built = builder.build(image.reference, files).succeeded()
    slow = ("stop-scheduler", "stop-webserver", "stop-triggerer")
    (result,) = check_image(built.reference, settings=settings, only=["config"]).results
    assert result.name == "config"
    quick = [
        *("user", "folders", "airflow-home", "programs", "environment", "config", "command", "shell", "labels", "pins"),
        *("venv", "modules"),
        *("settings", "silence", "first-process", "foreign-uid", "read-only", "dead-database", "interrupted"),
    ]
    assert not set(quick) & set(slow)
    report = check_image(built.reference, settings=settings, only=quick)
    assert failures(report) == {}, describe_check(report)


STOPS = {"stop-scheduler", "stop-webserver", "stop-triggerer"}
DEAF = """trap '' TERM; "$0" "$@"; exit $?"""
ABRUPT = """trap 'kill -9 $!; exit 0' TERM; "$0" "$@" & wait $!"""

BROKEN = {
    "user": ("USER root", {"user", "config"}),
    "labels": ('LABEL io.astronomer.docker.runtime.version="eight"', {"labels", "environment"}),
    "versions": ('LABEL io.astronomer.docker.airflow.version="2.5.0"', {"settings"}),
    "entrypoint": ('ENTRYPOINT ["/bin/sh", "-c", "echo hello; exec \\"$0\\" \\"$@\\""]', {"config", "silence"}),
    "ports": ("EXPOSE 8080\nHEALTHCHECK CMD true", {"config"}),
    "pins": ("USER root\nRUN rm /usr/pip.conf\nUSER astro", {"pins"}),
    "venv": ("USER root\nRUN mv /usr/pip.conf /etc/pip.conf\nUSER astro", {"venv"}),
    "modules": ("USER root\nRUN rm /usr/local/lib/python3.9/site-packages\nUSER astro", {"modules"}),
    "group": ("USER root\nRUN groupdel astro\nUSER astro", {"user"}),
    "folders": ("USER root\nRUN chmod 755 /usr/local/airflow && rmdir tests\nUSER astro", {"folders", "foreign-uid"}),
    "logs": ("USER root\nRUN chmod 755 logs\nUSER astro", {"folders", "foreign-uid"}),
    "programs": ("USER root\nRUN rm $(command -v nc)\nUSER astro\nENV PATH=/usr/local/bin:/usr/bin:/bin", {"programs"}),
    "environment": ("ENV LANG=C AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL=300", {"environment", "settings"}),
    "shell": ('SHELL ["/bin/sh", "-c"]', {"shell"}),
    "home": ("USER root\nRUN mkdir /opt/airflow\nUSER astro\nENV AIRFLOW_HOME=/opt/airflow", {"read-only"}),
    # The first ignores the signal, the second does not pass it on
    "deaf": (f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', DEAF])}", STOPS),
    "abrupt": (f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', ABRUPT])}", STOPS),
    "waiting": ("ENTRYPOINT []", {"config", "dead-database", "first-process", "interrupted"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_defect_fails_its_checks(builder: Builder, image: BuiltImage, settings: Settings, name: str) -> None:
    dockerfile, broken = BROKEN[name]
    built = builder.build(f"{image.reference}-base", dockerfile=dockerfile + "\n").succeeded()
    report = check_image(built.reference, settings=settings, only=sorted(broken))
    assert set(failures(report)) == broken, describe_check(report)
    assert all(failures(report).values())
    assert not report.passed
