"""Another resolver, uv, must choose the same packages for the real release as pip-tools does in rtbuild."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from uv import find_uv_bin

from rtbuild.mirror.find import Mirrors, find_mirrors
from rtbuild.mirror.remote import MirrorSources, open_web
from rtbuild.platform import PLATFORMS, Platform
from rtbuild.recipe.model import Release
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.process import PipProcess
from rtbuild.resolve.python.resolve import PythonResolution, resolve_python
from rtbuild.resolve.python.target import Target, target_for
from rtbuild.settings import load_settings
from rtbuild.workspace import Workspace

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PYTHON = "3.9.2"
GLIBC = (2, 31)
SDISTS = {"cron-descriptor", "future", "json-merge-patch", "python-nvd3", "unicodecsv"}


@pytest.fixture(scope="module")
def release() -> Release:
    return Workspace.find(ROOT).release("8.0.0")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def mirrors() -> Mirrors:
    return find_mirrors(load_settings(os.environ, ROOT))


@pytest.fixture(scope="module")
def sources(mirrors: Mirrors, cache: Path) -> Iterator[MirrorSources]:
    with closing(open_web(load_settings(os.environ, ROOT))) as web:
        yield MirrorSources(mirrors, cache / "answers", web=web)


@pytest.fixture(scope="module")
def environment(sources: MirrorSources, cache: Path) -> Iterator[LockEnvironment]:
    with PipProcess() as pip:
        yield LockEnvironment(sources=sources, pip=pip, cache=cache / "pip")


@pytest.fixture(scope="module")
def target(platform: Platform) -> Target:
    return target_for(platform, PYTHON, GLIBC)


@pytest.fixture(scope="module", params=["linux/amd64", "linux/arm64"])
def platform(request: pytest.FixtureRequest) -> Platform:
    """Both platforms, although the release supports only one: the resolver must not depend on the machine."""
    return PLATFORMS[str(request.param)]


@pytest.fixture(scope="module")
def resolved(release: Release, target: Target, environment: LockEnvironment) -> PythonResolution:
    return resolve_python(release, target, environment)


def test_uv_chooses_the_same(
    release: Release, platform: Platform, mirrors: Mirrors, resolved: PythonResolution, tmp_path: Path
) -> None:
    # Packages of the recipes are on no index: give uv their requirements instead.
    local = {package.name for package in release.packages}
    asked = [text for text in release.requirements if canonicalize_name(Requirement(text).name) not in local]
    asked += [text for package in release.packages for text in package.dependencies]
    (tmp_path / "asked.in").write_text("\n".join(asked))
    (tmp_path / "bound.txt").write_text("\n".join(release.constraints))
    command = [
        find_uv_bin(),
        *("pip", "compile", "--no-config", "--quiet", "--no-header", "--no-annotate", "--no-strip-extras"),
        *("--cache-dir", str(tmp_path / "uv"), "--default-index", mirrors.indexes[0].address),
        *("--python-platform", f"{platform.machine}-manylinux_2_{GLIBC[1]}", "--python-version", PYTHON),
        # With the time of day: uv includes the whole of a bare date.
        *("--exclude-newer", release.as_of.isoformat()),
        *("--constraints", "bound.txt", "asked.in"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    theirs = {}
    for line in told.stdout.splitlines():
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        theirs[canonicalize_name(requirement.name)] = Version(pin.version)
    ours = {artifact.name: Version(artifact.version) for artifact in resolved.pythons if not artifact.local}
    assert ours == theirs


def test_every_dependency_is_locked_and_in_a_layer(release: Release, resolved: PythonResolution) -> None:
    names = {artifact.name for artifact in resolved.pythons}
    assert all(names.issuperset(artifact.requires) for artifact in resolved.pythons)
    layers = {layer.name for layer in release.python_layers}
    assert {artifact.layer for artifact in resolved.pythons} == layers
    airflow = {artifact.name for artifact in resolved.pythons if artifact.layer == "airflow"}
    assert "apache-airflow-providers-amazon" not in airflow
    assert {"apache-airflow", "flask", "sqlalchemy"} <= airflow


def test_the_packages_that_are_built_from_source(platform: Platform, resolved: PythonResolution) -> None:
    sdists = {artifact.name for artifact in resolved.pythons if not (artifact.is_wheel or artifact.local)}
    needing_a_compiler = {"pendulum", "psutil", "uamqp"} if platform.machine == "aarch64" else set()
    assert sdists == SDISTS | needing_a_compiler
    built = resolved.build_pythons
    assert {"setuptools", "wheel"} <= {artifact.name for artifact in built}
    assert all(artifact.is_wheel and artifact.layer == "" for artifact in built)


def test_the_resolution_is_reproducible(
    release: Release, target: Target, environment: LockEnvironment, resolved: PythonResolution
) -> None:
    assert resolve_python(release, target, environment) == resolved


def test_an_upgrade_moves_one_package(
    release: Release, target: Target, environment: LockEnvironment, resolved: PythonResolution
) -> None:
    pythons = resolved.pythons
    older = resolve_python(release, target, environment, locked=pythons, upgrade={"rich": "13.3.4"}).pythons
    assert {artifact.name for artifact in set(older) ^ set(pythons)} == {"rich"}
    kept = resolve_python(release, target, environment, locked=older).pythons
    assert kept == older
    newest = resolve_python(release, target, environment, locked=older, upgrade={"rich": None}).pythons
    assert newest == pythons
