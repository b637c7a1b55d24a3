"""The libraries that these tests run with are those that the security manager meets in the image."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from rtbuild.platform import parse_platform
from rtbuild.workspace import Workspace

ROOT = Path(__file__).parents[4]


def pins() -> dict[NormalizedName, str]:
    """The exact versions of dependency group `security-manager`, by canonical name."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    found = {}
    for text in groups["security-manager"]:
        requirement = Requirement(text)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", text
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def test_the_pins_are_the_versions_of_the_lock() -> None:
    lock = Workspace(root=ROOT).read_lock("8.0.0", parse_platform("linux/amd64"))
    locked = {canonicalize_name(package.name): str(package.version) for package in lock.pythons}
    assert pins() == {name: locked[name] for name in pins()}


def test_the_tests_run_with_the_pins() -> None:
    assert {name: version(name) for name in pins()} == pins(), "pip install --group test"
