"""What each check of the image's content and config accepts and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtbuild.conformance import statics
from rtbuild.conformance.subject import CheckFailure, Subject
from tests.fakes.runtime_image import CONFIG, FACTS, FOLDER, RuntimeImage, outcome


def subject(config: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, **options: Any) -> Subject:
    image = RuntimeImage(config={**CONFIG, **(config or {})}, facts={**FACTS, **(facts or {})})
    return image.subject(**options)


@pytest.mark.parametrize("check", [pytest.param(check.body, id=check.name) for check in statics.STATIC_CHECKS])
def test_a_good_image_passes(check: Callable[[Subject], None]) -> None:
    check(subject(runtime="8.0.0", airflow="2.6.0"))


def labels(**changed: str) -> dict[str, Any]:
    return {"Labels": CONFIG["Labels"] | {f"io.astronomer.docker.{name}": value for name, value in changed.items()}}


def changed(folder: str, **properties: object) -> dict[str, Any]:
    """What is found if one of AIRFLOW_HOME's folders has other properties."""
    return {"folders": FACTS["folders"] | {folder: FOLDER | properties}}


def test_the_folders_of_a_project_may_have_the_modes_of_the_project() -> None:
    statics.folders(subject(facts=changed("dags", mode="0755")))


@pytest.mark.parametrize(
    ("check", "config", "facts", "message"),
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
        (statics.user, {}, {"group": None}, "group is None, not 50000"),
        (statics.folders, {}, {"home_folder": None}, "home does not exist"),
        (statics.folders, {}, {"home_folder": FOLDER | {"mode": "0755"}}, "home has mode 0755: group 0 cannot write"),
        (statics.folders, {}, {"home_folder": FOLDER | {"writable": False}}, "home: writable is False, not True"),
        (statics.folders, {}, changed("", writable=False), "AIRFLOW_HOME: writable is False, not True"),
        (statics.folders, {}, changed("logs", mode="0755"), "logs has mode 0755: group 0 cannot write to it"),
        (statics.folders, {}, changed("logs", uid=0), "logs: uid is 0, not 50000"),
        (statics.folders, {}, changed("dags", writable=False), "dags: writable is False, not True"),
        (statics.folders, {}, changed("plugins", gid=50000), "plugins: gid is 50000, not 0"),
        (statics.folders, {}, changed("include", mode="0700"), "include has mode 0700: group 0 cannot read it"),
        (statics.folders, {}, {"folders": FACTS["folders"] | {"dags": None}}, "AIRFLOW_HOME lacks dags"),
        (statics.programs, {}, {"programs": {"git": None, "nc": None}}, "not on the PATH: git, nc"),
        (statics.programs, {}, {"path": ["/usr/bin"]}, "/home/astro/.local/bin is not on the PATH"),
    ],
)
def test_each_defect_fails_its_check(
    check: Callable[[Subject], None], config: dict[str, Any], facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckFailure) as caught:
        check(subject(config, facts))
    assert message in str(caught.value)


def test_the_image_must_be_of_the_release_that_is_checked() -> None:
    with pytest.raises(CheckFailure, match=r"runtime\.version is '8\.0\.0', not '8\.0\.1'"):
        statics.labels(subject(runtime="8.0.1"))
    with pytest.raises(CheckFailure, match=r"airflow\.version is '2\.6\.0', not '2\.5\.0'"):
        statics.labels(subject(airflow="2.5.0"))


def test_pip_must_not_replace_airflow_and_its_constraints_have_their_place() -> None:
    replaced = outcome("pip installed another Airflow\n", exit_code=1)
    with pytest.raises(CheckFailure, match=r"pip can replace Airflow \(exit code 1\)\npip installed another Airflow"):
        statics.pins(RuntimeImage(answer=lambda command, options: replaced).subject())
    elsewhere = outcome("/tmp/constraints.txt\n")
    with pytest.raises(CheckFailure, match=r"the constraints are in '/tmp/constraints\.txt'"):
        statics.pins(RuntimeImage(answer=lambda command, options: elsewhere).subject())


@pytest.mark.parametrize(
    ("check", "told"),
    [(statics.venv, "virtual environments cannot be used"), (statics.modules, "Python does not see a changed module")],
)
def test_what_a_trial_in_the_image_finds_is_shown(check: Callable[[Subject], None], told: str) -> None:
    failed = outcome("what was found\n", exit_code=1)
    with pytest.raises(CheckFailure) as caught:
        check(RuntimeImage(answer=lambda command, options: failed).subject())
    assert str(caught.value) == f"{told} (exit code 1)\nwhat was found"
