"""The build environments of sdists: one for all if their requirements agree, else one for each."""

from __future__ import annotations

from rtbuild.errors import ResolutionError
from rtbuild.lockfile.model import PythonArtifact
from rtbuild.resolve.python.builds import lock_builds
from tests.fakes import locks


def resolve(requirements: tuple[str, ...]) -> tuple[PythonArtifact, ...]:
    """Resolve pins; two of one package contradict each other."""
    pins = [requirement.split("==") for requirement in requirements]
    if len({name for name, _ in pins}) < len(pins):
        raise ResolutionError("the requirements contradict each other")
    return tuple(locks.wheel(name, version, layer="") for name, version in pins)


def test_without_sdists_nothing_is_needed() -> None:
    assert lock_builds({}, resolve) == ()


def test_sdists_that_agree_share_an_environment() -> None:
    needed = {"spam": ["setuptools==67"], "eggs": ["setuptools==67", "wheel==1"]}
    artifacts = lock_builds(needed, resolve)
    assert [(artifact.layer, artifact.name) for artifact in artifacts] == [("", "setuptools"), ("", "wheel")]


def test_sdists_that_disagree_get_one_environment_each() -> None:
    artifacts = lock_builds({"spam": ["setuptools==67"], "eggs": ["setuptools==59"]}, resolve)
    assert [(artifact.layer, artifact.version) for artifact in artifacts] == [("eggs", "59"), ("spam", "67")]
