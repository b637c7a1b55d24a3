"""Checks of images that are no runtime images: what any image of Debian and Python packages promises.

What an image does not have (apt, Python, pip) is not checked. The scripts are run without the image's entrypoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtbuild.conformance.subject import Check, Subject, compare, require
from rtbuild.engine.containers import RunOutcome
from rtbuild.inside import read_script

_HAS_ACCOUNT = """
id -un > /dev/null 2>&1 || { echo "uid $(id -u) has no account"; exit 1; }
[ -d ~ ] || { echo "the home folder $(echo ~) of $(id -un) does not exist"; exit 1; }
"""
# Prints what is there of `dpkg apt python pip`.
_TOOLS = """
for program in dpkg apt-get python3; do command -v $program > /dev/null && echo $program; done
python3 -m pip --version > /dev/null 2>&1 && echo pip
true
"""


def recipe(subject: Subject) -> None:
    """Check that containers start with what the recipes say."""
    assert subject.settings is not None
    settings, config = subject.settings, subject.config
    expected: dict[str, Any] = {
        "User": settings.user,
        "WorkingDir": settings.working_dir,
        "Entrypoint": list(settings.entrypoint),
        "Cmd": list(settings.command),
        "Shell": list(settings.shell),
        "OnBuild": list(settings.on_build),
    }
    # Engines differ in whether they report an empty field as missing, null or empty.
    compare({name: config.get(name) or value[:0] for name, value in expected.items()}, expected)
    compare({f"variable {name}": value for name, value in subject.env.items()}, _named("variable", settings.env))
    compare({f"label {name}": value for name, value in subject.labels.items()}, _named("label", settings.labels))


def account(subject: Subject) -> None:
    """Check the account that containers run as."""
    _succeeds(_shell(subject, _HAS_ACCOUNT), "it runs as nobody that it knows")


def dpkg(subject: Subject) -> None:
    """Check that every Debian package is whole and configured."""
    _succeeds(_shell(subject, 'audit=$(dpkg --audit); echo "$audit"; [ -z "$audit" ]'), "dpkg finds broken packages")


def apt(subject: Subject) -> None:
    """Check that apt finds the dependencies of all packages satisfied: else it installs nothing more."""
    _succeeds(_shell(subject, "apt-get check", user="root"), "`apt-get check` fails")


def pip(subject: Subject) -> None:
    """Check that the requirements of all Python packages are satisfied."""
    _succeeds(_shell(subject, "python3 -m pip check"), "`pip check` fails")


def compiled(subject: Subject) -> None:
    """Check that Python loads the compiled modules, so that programs start fast and write nothing."""
    script = read_script("check_compiled.py").decode()
    outcome = subject.run("-c", script, entrypoint=["python3", "-I", "-B"], user="root")
    require(outcome.exit_code == 0 and not outcome.text, "compiled modules are not loaded", outcome)


def _named(kind: str, pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {f"{kind} {name}": value for name, value in pairs}


def _shell(subject: Subject, script: str, **options: Any) -> RunOutcome:
    return subject.run("-c", script, entrypoint=["/bin/sh"], **options)


def _succeeds(outcome: RunOutcome, problem: str) -> None:
    require(outcome.exit_code == 0, problem, outcome)


def tools(subject: Subject) -> frozenset[str]:
    """Return which of dpkg, apt-get, python3 and pip the image has."""
    outcome = _shell(subject, _TOOLS)
    _succeeds(outcome, "a shell cannot run")
    return frozenset(outcome.text.split())


def _has(tool: str) -> Callable[[Subject], bool]:
    return lambda subject: tool in subject.tools(tools)


GENERAL_CHECKS = (
    Check(
        name="recipe",
        promise="starts with the user, command, variables and labels of its recipes",
        body=recipe,
        applies=lambda subject: subject.settings is not None,
    ),
    Check(name="account", promise="runs as an account that exists and has a home", body=account),
    Check(name="dpkg", promise="has no broken Debian package", body=dpkg, applies=_has("dpkg")),
    Check(name="apt", promise="lets apt-get install more packages", body=apt, applies=_has("apt-get")),
    Check(name="pip", promise="satisfies the requirements of its Python packages", body=pip, applies=_has("pip")),
    Check(name="compiled", promise="loads its compiled Python modules", body=compiled, applies=_has("python3")),
)
