"""The recipes that a new workspace begins with are read as they are meant."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import DebianLayer, PythonLayer
from rtbuild.recipe.read import read_engine, read_release
from rtbuild.recipe.templates import FIRST_RELEASE, WORKSPACE_KINDS, WorkspaceKind, workspace_files
from tests.fakes.workspaces import put

MOMENT = datetime(2026, 11, 28, 12, 0, 0, 999, tzinfo=UTC)


def written(root: Path, kind: WorkspaceKind) -> dict[str, str]:
    """Write a new workspace to `root` and return its files."""
    files = workspace_files(kind, repository="weather", platform=PLATFORMS["linux/arm64"], moment=MOMENT)
    for path, text in files.items():
        put(root / path, text)
    return files


@pytest.mark.parametrize("kind", WORKSPACE_KINDS)
def test_every_kind_is_a_workspace(tmp_path: Path, kind: WorkspaceKind) -> None:
    files = written(tmp_path, kind)
    release = read_release(tmp_path, FIRST_RELEASE)
    assert release.as_of == MOMENT.replace(microsecond=0)
    assert release.platforms == (PLATFORMS["linux/arm64"],)
    assert files["rtbuild.toml"].endswith('repository = "weather"\n')
    assert read_engine(tmp_path, "default").packages
    # Nothing is left to fill in, nothing is there that the release does not use, and each file begins with what it is.
    assert not re.search(r"@[A-Z]", "".join(files.values()))
    used = {path for path, _ in release.inputs} | {"recipes/engines/default.toml", "rtbuild.toml"}
    assert set(files) == used
    assert all(text.startswith("# ") for text in files.values())


def test_debian_packages_alone(tmp_path: Path) -> None:
    written(tmp_path, "debian")
    release = read_release(tmp_path, FIRST_RELEASE)
    assert [type(layer) for layer in release.layers] == [DebianLayer]
    assert (release.airflow, release.python_series) == (None, None)


def test_python_packages(tmp_path: Path) -> None:
    written(tmp_path, "python")
    release = read_release(tmp_path, FIRST_RELEASE)
    assert [type(layer) for layer in release.layers] == [DebianLayer, DebianLayer, PythonLayer]
    assert (release.airflow, release.python_series, release.requirements) == (None, "3.13", ("flask", "pip"))


def test_airflow(tmp_path: Path) -> None:
    written(tmp_path, "airflow")
    release = read_release(tmp_path, FIRST_RELEASE)
    assert [layer.name for layer in release.layers] == ["base-os", "python", "airflow", "packages"]
    assert release.airflow is not None
    assert release.requirements[0] == f"apache-airflow=={release.airflow}"
    assert dict(release.image.labels)["org.opencontainers.image.title"] == f"Airflow {release.airflow} on Debian 13"
