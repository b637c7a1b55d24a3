"""What each promise about an image's config accepts and refuses, and how a report reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from rtbuild.conformance import statics
from rtbuild.conformance.report import CheckReport, CheckResult, describe_check
from rtbuild.conformance.subject import Broken, Subject
from rtbuild.digest import Digest
from rtbuild.engine.engine import Engine
from rtbuild.engine.images import ImageFacts
from rtbuild.errors import EngineError, UsageError
from rtbuild.verbs.check import CHECKS, check_image

CONFIG: dict[str, Any] = {
    "User": "astro",
    "Entrypoint": ["/entrypoint"],
    "Cmd": ["airflow", "--help"],
    "WorkingDir": "/usr/local/airflow",
    "Env": ["AIRFLOW_HOME=/usr/local/airflow", "LANG=C.UTF-8", "ASTRONOMER_RUNTIME_VERSION=8.0.0", "A=b=c"],
    "Labels": {
        "io.astronomer.docker": "true",
        "io.astronomer.docker.module": "airflow",
        "io.astronomer.docker.distro": "debian",
        "io.astronomer.docker.runtime.version": "8.0.0",
        "io.astronomer.docker.airflow.version": "2.6.0",
        "org.opencontainers.image.title": "x",
        "org.opencontainers.image.description": "x",
        "org.opencontainers.image.version": "8.0.0",
    },
    "Shell": ["/bin/bash", "-o", "pipefail", "-e", "-u", "-x", "-c"],
}
FOLDER = {"uid": 50000, "gid": 0, "mode": "0775", "writable": True}
FOUND: dict[str, Any] = {
    "uid": 50000,
    "gid": 0,
    "account": {"name": "astro", "gid": 0, "home": "/home/astro"},
    "home": "/home/astro",
    "folder": "/usr/local/airflow",
    "path": ["/home/astro/.local/bin", "/usr/bin"],
    "import_path": ["/usr/local/airflow"],
    "programs": {"git": "/usr/bin/git"},
    "folders": dict.fromkeys(("", "dags", "plugins", "include", "tests", "logs"), FOLDER),
    "home_folder": FOLDER,
    "first_process": ["/usr/bin/tini", "--"],
}


class NoEngine:
    """An engine that has one image, and in which nothing can run."""

    def inspect(self, reference: str) -> ImageFacts | None:
        if reference != "here":
            return None
        digest = Digest("sha256:" + "0" * 64)
        return ImageFacts(id=digest, names=("here",), platform="linux/amd64", layers=(), config=CONFIG, size=0)

    def run(self, *arguments: object, **options: object) -> None:
        raise EngineError("nothing runs here", details="at all")

    def __str__(self) -> str:
        return "no engine"


def engine() -> Engine:
    return cast(Engine, NoEngine())


def subject(config: dict[str, Any] | None = None, found: dict[str, Any] | None = None, **options: Any) -> Subject:
    return Subject(
        engine=engine(),
        reference="here",
        config={**CONFIG, **(config or {})},
        _found={**FOUND, **(found or {})},
        **options,
    )


STATIC = [check for check in statics.STATIC_CHECKS if check.name != "pins"]


@pytest.mark.parametrize("check", [pytest.param(check.body, id=check.name) for check in STATIC])
def test_an_image_as_it_should_be(check: Callable[[Subject], None]) -> None:
    check(subject(runtime="8.0.0", airflow="2.6.0"))


def labels(**changed: str) -> dict[str, Any]:
    return {"Labels": CONFIG["Labels"] | {f"io.astronomer.docker.{name}": value for name, value in changed.items()}}


def changed(folder: str, **properties: object) -> dict[str, Any]:
    """What is found where one of AIRFLOW_HOME's folders is another."""
    return {"folders": FOUND["folders"] | {folder: FOLDER | properties}}


def test_the_folders_of_a_project_may_have_the_modes_that_they_had_there() -> None:
    statics.folders(subject(found=changed("dags", mode="0755")))


@pytest.mark.parametrize(
    ("check", "config", "found", "told"),
    [
        (statics.config, {"User": "root"}, {}, "User is 'root', not 'astro'"),
        (statics.config, {"Entrypoint": None}, {}, "Entrypoint is None, not ['/entrypoint']"),
        (statics.config, {"ExposedPorts": {"8080/tcp": {}}}, {}, "it exposes ports: {'8080/tcp': {}}"),
        (statics.config, {"Healthcheck": {"Test": ["CMD", "true"]}}, {}, "it has a HEALTHCHECK"),
        (statics.command, {"Cmd": ["bash"]}, {}, "Cmd is ['bash'], not ['airflow', '--help']"),
        (statics.shell, {"Shell": None}, {}, "Shell is None"),
        (statics.labels, {"Labels": None}, {}, "io.astronomer.docker is None, not 'true'"),
        (statics.labels, labels(**{"runtime.version": "8.0"}), {}, "not a semantic version"),
        (statics.labels, labels(**{"runtime.version": "08.0.0"}), {}, "not a semantic version"),
        (statics.labels, labels(**{"airflow.version": ""}), {}, "airflow.version is not set"),
        (statics.environment, {"Env": ["LANG=C.UTF-8"]}, {}, "ASTRONOMER_RUNTIME_VERSION is not set"),
        (
            statics.environment,
            {"Env": ["LANG=C.UTF-8", "ASTRONOMER_RUNTIME_VERSION=8.0.1"]},
            {},
            "ASTRONOMER_RUNTIME_VERSION is '8.0.1', not '8.0.0'",
        ),
        (statics.environment, {"Env": None}, {}, "LANG is None, not 'C.UTF-8'"),
        (statics.airflow_home, {"WorkingDir": "/"}, {}, "WorkingDir is '/'"),
        (statics.airflow_home, {}, {"import_path": []}, "/usr/local/airflow is not on Python's path"),
        (statics.user, {}, {"gid": 50000}, "gid is 50000, not 0"),
        (statics.user, {}, {"account": None}, "account is None"),
        (statics.folders, {}, {"home_folder": None}, "home is not there"),
        (statics.folders, {}, {"home_folder": FOLDER | {"mode": "0755"}}, "home has mode 0755: group 0 may not write"),
        (statics.folders, {}, {"home_folder": FOLDER | {"writable": False}}, "home: writable is False, not True"),
        (statics.folders, {}, changed("", writable=False), "AIRFLOW_HOME: writable is False, not True"),
        (statics.folders, {}, changed("logs", mode="0755"), "logs has mode 0755: group 0 may not write to it"),
        (statics.folders, {}, changed("logs", uid=0), "logs: uid is 0, not 50000"),
        (statics.folders, {}, changed("dags", writable=False), "dags: writable is False, not True"),
        (statics.folders, {}, changed("plugins", gid=50000), "plugins: gid is 50000, not 0"),
        (statics.folders, {}, changed("include", mode="0700"), "include has mode 0700: group 0 may not read it"),
        (statics.folders, {}, {"folders": FOUND["folders"] | {"dags": None}}, "AIRFLOW_HOME lacks dags"),
        (statics.programs, {}, {"programs": {"git": None, "nc": None}}, "not on the PATH: git, nc"),
        (statics.programs, {}, {"path": ["/usr/bin"]}, "/home/astro/.local/bin is not on the PATH"),
    ],
)
def test_an_image_as_it_should_not_be(
    check: Callable[[Subject], None], config: dict[str, Any], found: dict[str, Any], told: str
) -> None:
    with pytest.raises(Broken) as caught:
        check(subject(config, found))
    assert told in str(caught.value)


def test_a_release_must_be_the_one_that_was_asked_for() -> None:
    with pytest.raises(Broken, match=r"runtime\.version is '8\.0\.0', not '8\.0\.1'"):
        statics.labels(subject(runtime="8.0.1"))
    with pytest.raises(Broken, match=r"airflow\.version is '2\.6\.0', not '2\.5\.0'"):
        statics.labels(subject(airflow="2.5.0"))


def test_an_engine_that_fails_a_check_is_told_as_what_was_found() -> None:
    report = check_image(engine(), "here", only=["labels", "silence", "config"])
    assert [(one.name, one.passed, one.details) for one in report.results] == [
        ("config", True, ""),
        ("labels", True, ""),
        ("silence", False, "nothing runs here\nat all"),
    ]
    assert (report.passed, report.runtime, report.airflow) == (False, "8.0.0", "2.6.0")


def test_an_image_or_a_check_that_there_is_not() -> None:
    with pytest.raises(EngineError, match="no engine has no image elsewhere"):
        check_image(engine(), "elsewhere")
    with pytest.raises(UsageError) as caught:
        check_image(engine(), "here", only=["labells"])
    assert caught.value.brief == "there is no check 'labells'"
    assert caught.value.hint is not None
    assert "labels" in caught.value.hint


def test_checks_have_names_and_promises_of_their_own() -> None:
    assert len({check.name for check in CHECKS}) == len({check.promise for check in CHECKS}) == len(CHECKS)


def test_a_report_reads_as_a_table() -> None:
    report = CheckReport(
        image="team/airflow:1",
        runtime="8.0.0",
        airflow="",
        passed=False,
        results=(
            CheckResult(name="user", promise="runs as astro", passed=True, details="", seconds=0.41),
            CheckResult(name="silence", promise="says nothing", passed=False, details="it says\nhello", seconds=2),
        ),
        seconds=3.2,
    )
    assert describe_check(report).splitlines() == [
        "team/airflow:1: runtime 8.0.0, Airflow unknown",
        "kept    user     runs as astro (0.4 s)",
        "BROKEN  silence  says nothing (2.0 s)",
        "        it says",
        "        hello",
        "1 of 2 promises are BROKEN, in 3 s",
    ]
