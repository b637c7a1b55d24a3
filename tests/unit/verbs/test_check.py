"""Checking an image of the engine, and refusing unknown checks and images before anything is built or started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtbuild.errors import EngineError, UsageError
from rtbuild.settings import Settings
from rtbuild.verbs.check import check, check_image
from rtbuild.workspace import Workspace
from tests.fakes.docker_command import FakeDocker
from tests.fakes.docker_daemon import DockerDaemon
from tests.fakes.runtime_image import CONFIG
from tests.fakes.workspaces import write_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine with a Docker that has the image `team/airflow:1`, in which nothing can run."""

    settings: Settings
    workspace: Workspace


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with DockerDaemon(Path("docker.sock")) as daemon:
        host = f"unix://{tmp_path}/docker.sock"
        daemon.images["team/airflow:1"] = {"Id": "sha256:" + "1" * 64, "Config": {**CONFIG, "User": "root"}}
        monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path / 'programs', host=host).install()}:/usr/bin:/bin")
        settings = Settings(store=tmp_path / "store", engine_dir=tmp_path / "engine", docker_host=host)
        yield Machine(settings=settings, workspace=Workspace.find(write_workspace(tmp_path / "workspace")))


def test_an_image_is_checked_by_name(machine: Machine) -> None:
    report = check_image("team/airflow:1", settings=machine.settings, only=["config", "labels"])
    assert (report.image, report.runtime, report.airflow) == ("team/airflow:1", "8.0.0", "2.6.0")
    assert [(result.name, result.passed, result.details) for result in report.results] == [
        ("config", False, "User is 'root', not 'astro'"),
        ("labels", True, ""),
    ]
    assert not report.passed


def test_settings_are_those_of_the_current_folder_by_default(machine: Machine) -> None:
    Path("rtbuild.toml").write_text(f'docker_host = "{machine.settings.docker_host}"\n')
    assert check_image("team/airflow:1", only=["labels"]).passed


def test_a_missing_image_is_an_error_that_names_engine_and_image(machine: Machine) -> None:
    with pytest.raises(EngineError, match=r"Docker at unix://\S+ \(Docker 28.* has no image team/airflow:2"):
        check_image("team/airflow:2", settings=machine.settings)


def test_an_unknown_check_is_an_error_before_anything_else_happens(machine: Machine) -> None:
    with pytest.raises(UsageError, match="unknown check 'labells'"):
        check_image("team/airflow:2", settings=machine.settings, only=["labells"])
    with pytest.raises(UsageError, match="unknown check 'labells'"):
        check(machine.workspace, "8.0", settings=machine.settings, only=["labells"])
    assert not machine.settings.store.exists()
