"""Checking an image of the engine, and refusing unknown checks and images before anything is built or started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtbuild.errors import EngineError, UsageError
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.check import check, check_image
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64
from tests.fakes.docker_daemon import DockerDaemon
from tests.fakes.files_release import files_workspace, fill
from tests.fakes.loaded_docker import docker
from tests.fakes.runtime_image import CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine with a Docker that has the image `team/airflow:1`, in which nothing can run."""

    settings: Settings
    workspace: Workspace
    daemon: DockerDaemon


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with docker(tmp_path, monkeypatch) as daemon:
        daemon.images["team/airflow:1"] = {"Id": "sha256:" + "1" * 64, "Config": {**CONFIG, "User": "root"}}
        settings = Settings(store=tmp_path / "store", engine_dir=tmp_path / "engine", docker_host=daemon.host)
        yield Machine(settings=settings, workspace=files_workspace(tmp_path / "workspace"), daemon=daemon)


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


def test_a_release_is_built_loaded_and_checked(machine: Machine) -> None:
    fill(machine.workspace, Store.open(machine.settings.store))
    loaded = {"Id": "sha256:" + "1" * 64, "Config": CONFIG}
    machine.daemon.images |= dict.fromkeys(("astro-runtime:8.0.0", "docker.io/library/astro-runtime:8.0.0"), loaded)
    report = check(machine.workspace, "8.0", platform=AMD64, settings=machine.settings, only=["config", "labels"])
    assert (report.image, report.passed) == ("8.0.0 for linux/amd64", True)
    assert machine.daemon.loaded


def test_an_image_that_the_engine_has_is_not_loaded_again(machine: Machine) -> None:
    fill(machine.workspace, Store.open(machine.settings.store))
    result = build(machine.workspace, "8.0", platform=AMD64, settings=machine.settings)
    machine.daemon.images["astro-runtime:8.0.0"] = {"Id": result.manifest_digest, "Config": CONFIG}
    assert check(machine.workspace, "8.0", platform=AMD64, settings=machine.settings, only=["labels"]).passed
    assert machine.daemon.loaded == b""


def test_an_image_that_is_lost_after_loading_is_an_error(machine: Machine) -> None:
    fill(machine.workspace, Store.open(machine.settings.store))
    machine.daemon.images["docker.io/library/astro-runtime:8.0.0"] = {"Id": "sha256:" + "1" * 64}
    with pytest.raises(EngineError, match=r"has lost the image astro-runtime:8\.0\.0"):
        check(machine.workspace, "8.0", platform=AMD64, settings=machine.settings, only=["labels"])
