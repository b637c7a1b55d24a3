"""What the checks of images that are no runtime images accept and refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rtbuild.conformance import general
from rtbuild.conformance.subject import CheckFailure, Subject
from rtbuild.engine.containers import RunOutcome
from rtbuild.recipe.model import ImageSettings
from tests.fakes.runtime_image import CONFIG, RuntimeImage, outcome

SETTINGS = ImageSettings(
    env=(("LANG", "C.UTF-8"),), labels=(("team", "web"),), user="app", working_dir="/home/app", command=("flask", "run")
)
PLAIN: dict[str, Any] = {
    "User": "app",
    "WorkingDir": "/home/app",
    "Entrypoint": None,
    "Cmd": ["flask", "run"],
    "Env": ["LANG=C.UTF-8"],
    "Labels": {"team": "web"},
}


def subject(answer: RunOutcome | None = None, **config: Any) -> Subject:
    """Return a subject built from `SETTINGS`, in which every command has the outcome `answer`."""
    image = RuntimeImage(config={**PLAIN, **config}, answer=lambda command, options: answer)
    return image.subject(settings=SETTINGS)


@pytest.mark.parametrize("check", [pytest.param(check.body, id=check.name) for check in general.GENERAL_CHECKS])
def test_a_good_image_passes(check: Callable[[Subject], None]) -> None:
    check(subject())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"User": "root"}, "User is 'root', not 'app'"),
        ({"WorkingDir": ""}, "WorkingDir is '', not '/home/app'"),
        ({"Entrypoint": ["/run"]}, "Entrypoint is ['/run'], not []"),
        ({"Cmd": None}, "Cmd is [], not ['flask', 'run']"),
        ({"OnBuild": ["RUN true"]}, "OnBuild is ['RUN true'], not []"),
        ({"Env": ["LANG=C"]}, "variable LANG is 'C', not 'C.UTF-8'"),
        ({"Labels": {}}, "label team is None, not 'web'"),
    ],
)
def test_a_config_that_is_not_the_recipes(config: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckFailure) as caught:
        general.recipe(subject(**config))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (general.account, "it runs as nobody that it knows (exit code 1)\nwhat was found"),
        (general.dpkg, "dpkg finds broken packages (exit code 1)\nwhat was found"),
        (general.apt, "`apt-get check` fails (exit code 1)\nwhat was found"),
        (general.pip, "`pip check` fails (exit code 1)\nwhat was found"),
        (general.compiled, "compiled modules are not loaded (exit code 1)\nwhat was found"),
        (general.tools, "a shell cannot run (exit code 1)\nwhat was found"),
    ],
)
def test_a_command_that_fails(check: Callable[[Subject], object], message: str) -> None:
    with pytest.raises(CheckFailure) as caught:
        check(subject(outcome("what was found\n", exit_code=1)))
    assert str(caught.value) == message


def test_compiled_modules_that_are_named() -> None:
    with pytest.raises(CheckFailure, match=r"a\.pyc: made by another Python"):
        general.compiled(subject(outcome("a.pyc: made by another Python\n")))


def test_what_the_image_has_is_looked_for_once() -> None:
    looked = []

    def answer(command: Sequence[str], options: dict[str, Any]) -> RunOutcome | None:
        looked.append(options["entrypoint"])
        return outcome("dpkg\napt-get\n")

    image = RuntimeImage(config=PLAIN, answer=answer).subject()
    checks = {check.name: check for check in general.GENERAL_CHECKS}
    applicable = [name for name, check in checks.items() if check.applies(image)]
    assert applicable == ["account", "dpkg", "apt"]  # not the recipe's either: nobody named a release
    assert looked == [["/bin/sh"]]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (CONFIG, True),
        (PLAIN, False),
        ({"Env": ["ASTRONOMER_RUNTIME_VERSION=8.0.0"]}, True),
        ({"Labels": {"io.astronomer.docker.airflow.version": "2.6.0"}}, True),
        ({"Labels": {"io.astronomer.docker.runtime.version": "8.0.0"}}, True),
        ({"Labels": {"io.astronomer.docker.distro": "debian"}, "Env": ["AIRFLOW_HOME=/opt/airflow"]}, False),
    ],
)
def test_what_tells_a_runtime_image(config: dict[str, Any], expected: bool) -> None:
    assert RuntimeImage(config=config).subject().is_runtime is expected
