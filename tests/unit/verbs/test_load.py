"""The `load` verb, and `build` with `load`: from the store into Docker."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.errors import EngineError, StoreError, UsageError
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.load import load
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64
from tests.fakes.docker_command import FakeDocker
from tests.fakes.docker_daemon import DockerDaemon
from tests.fakes.files_release import files_workspace, fill, settings
from tests.fakes.loaded_docker import docker, on

NAMES = ("astro-runtime:8.0.0", "astro-runtime:8.0.0-base")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return files_workspace(tmp_path / "project")


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDaemon]:
    with docker(tmp_path, monkeypatch) as daemon:
        for name in NAMES:
            daemon.images[f"docker.io/library/{name}"] = {"Id": "sha256:" + "1" * 64}
        yield daemon


def loaded_digests(daemon: DockerDaemon) -> list[str]:
    """Return the manifest digests of the images that were loaded last, in one archive."""
    with tarfile.open(fileobj=io.BytesIO(daemon.loaded)) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        return [str(manifest["digest"]) for manifest in json.load(index)["manifests"]]


def test_a_built_release_is_loaded_under_its_names(workspace: Workspace, daemon: DockerDaemon, tmp_path: Path) -> None:
    chosen = on(daemon, settings(tmp_path))
    fill(workspace, Store.open(chosen.store))
    result = build(workspace, "8.0", platform=AMD64, settings=chosen)
    assert daemon.loaded == b""
    assert load(workspace, "8.0", platform=AMD64, settings=chosen) == NAMES
    assert result.image_base is not None
    assert loaded_digests(daemon) == [result.manifest_digest, result.image_base.manifest]


def test_a_release_that_is_not_built_is_an_error(workspace: Workspace, daemon: DockerDaemon, tmp_path: Path) -> None:
    chosen = on(daemon, settings(tmp_path))
    fill(workspace, Store.open(chosen.store))
    with pytest.raises(StoreError, match=r"is not in .*: layer files"):
        load(workspace, "8.0", platform=AMD64, settings=chosen)


def test_build_loads_and_says_how_to_run_the_image(workspace: Workspace, daemon: DockerDaemon, tmp_path: Path) -> None:
    chosen = on(daemon, settings(tmp_path))
    fill(workspace, Store.open(chosen.store))
    result = build(workspace, "8.0", platform=AMD64, settings=chosen, load=True)
    assert result.loaded
    assert result.run is not None
    assert result.run.endswith("run --rm -it -p 8080:8080 astro-runtime:8.0.0 airflow standalone")


def test_a_docker_that_refuses_the_image_is_an_error(
    workspace: Workspace, daemon: DockerDaemon, tmp_path: Path
) -> None:
    daemon.load_answer = [{"error": "no space left on device"}]
    chosen = on(daemon, settings(tmp_path))
    fill(workspace, Store.open(chosen.store))
    with pytest.raises(EngineError, match=r"cannot load astro-runtime:8\.0\.0") as caught:
        build(workspace, "8.0", platform=AMD64, settings=chosen, load=True)
    assert caught.value.details == "no space left on device"


def test_a_docker_that_cannot_build_gets_the_images(
    workspace: Workspace, daemon: DockerDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic image store cannot export, but it can receive."""
    programs = FakeDocker(tmp_path / "classic", host=daemon.host, store="", server="20.10.24", buildx=None).install()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    chosen = replace(settings(tmp_path), docker_host=None)
    fill(workspace, Store.open(chosen.store))
    result = build(workspace, "8.0", platform=AMD64, settings=chosen, load=True)
    assert loaded_digests(daemon)[0] == result.manifest_digest
    assert result.run == "docker run --rm -it -p 8080:8080 astro-runtime:8.0.0 airflow standalone"


def test_a_name_that_docker_refuses_is_found_first(workspace: Workspace, daemon: DockerDaemon, tmp_path: Path) -> None:
    chosen = replace(on(daemon, settings(tmp_path)), repository="a" * 64)
    for verb in (build, load):
        with pytest.raises(UsageError, match="64 hexadecimal digits are an image ID"):
            verb(workspace, "8.0", platform=AMD64, settings=chosen)
    assert daemon.loaded == b""


def test_a_builder_that_does_not_exist_is_an_error_even_if_all_is_cached(
    workspace: Workspace, daemon: DockerDaemon, tmp_path: Path
) -> None:
    chosen = replace(settings(tmp_path), docker_host=None)
    fill(workspace, Store.open(chosen.store))
    (tmp_path / "programs/answers/buildx-inspect.stderr").write_text('ERROR: no builder "nosuch" found\n')
    with pytest.raises(EngineError, match="builder 'nosuch' does not answer"):
        build(workspace, "8.0", platform=AMD64, settings=replace(chosen, builder="nosuch"))
