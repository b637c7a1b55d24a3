"""What pyproject.toml says about Python and about other packages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
CORE = [Requirement(text) for text in PROJECT["dependencies"]]


@pytest.mark.parametrize("requirement", CORE, ids=str)
def test_a_core_dependency_has_a_range(requirement: Requirement) -> None:
    """An exact pin would keep rtbuild from being installed beside anything that needs another version."""
    operators = {specifier.operator for specifier in requirement.specifier}
    assert ">=" in operators
    assert not operators & {"==", "===", "~="}


@pytest.mark.parametrize("requirement", CORE, ids=str)
def test_an_upper_bound_has_its_reason_beside_it(requirement: Requirement) -> None:
    lines = TEXT.partition("[project.urls]")[0].splitlines()
    (line,) = (line for line in lines if re.match(rf' +"{re.escape(requirement.name)}[<>=]', line))
    bounded = any(specifier.operator.startswith("<") for specifier in requirement.specifier)
    assert not bounded or "# " in line


def test_the_classifiers_are_the_pythons_that_ci_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (sessions,) = re.findall(r"^\./bootstrap (.*\btests\b.*) 2>&1", script, re.MULTILINE)
    named = re.findall(r"\btests-(3\.\d+)", sessions)
    (own,) = re.findall(r"^# .* on a bare Debian 12 with git, Python (3\.\d+) and root", script, re.MULTILINE)
    classifiers = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert classifiers == sorted({own, *named})
    assert PROJECT["requires-python"] == f">={classifiers[0]}"
