"""A Docker with the classic image store: it cannot build, but takes an image, which then keeps every promise there.

That store makes a folder that a layer has no entry for anew, where containerd keeps what lies below.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.conformance.report import describe_check
from rtbuild.engine.daemon import Daemon
from rtbuild.engine.debs import unpack_deb
from rtbuild.engine.engine import Engine
from rtbuild.engine.select import find, find_docker
from rtbuild.errors import EngineError
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.platform import host_platform
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.check import check_image
from rtbuild.workspace import Workspace
from tests.fakes.users import require_root
from tests.integration.command_line import ROOT, CommandLine
from tests.integration.conftest import BuiltImage
from tests.integration.test_check import GRACE, failures

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def classic(
    workspace: Workspace, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Engine]]:
    """A daemon of its own, from the packages of the private engine; the settings that name it."""
    require_root()
    lock, store = workspace.read_engine_lock("default", host_platform()), Store.open(settings.store)
    fetch_artifacts(lock.debs, store, settings)
    folder = tmp_path_factory.mktemp("c")
    for deb in lock.debs:
        unpack_deb(store.artifact_path(deb.sha256), folder / "root")
    plugins = folder / "config/cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(folder / "root/usr/libexec/docker/cli-plugins/docker-buildx")
    (folder / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": False}}))
    daemon = Daemon(
        root=folder / "root",
        config=folder / "config",
        data=folder / "data",
        execution=folder / "exec",
        socket=folder / "docker.sock",
        pid_file=folder / "dockerd.pid",
        log=folder / "dockerd.log",
        settings=folder / "daemon.json",
    )
    daemon.launch(timeout=60)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{folder / 'root/usr/bin'}:{os.environ['PATH']}")
            patch.setenv("DOCKER_CONFIG", str(folder / "config"))
            named = replace(settings, docker_host=f"unix://{daemon.socket}", docker_context=None, builder=None)
            yield named, find_docker(named)
    finally:
        daemon.clean()
        shutil.rmtree(folder)


def test_it_cannot_build_and_says_so(classic: tuple[Settings, Engine]) -> None:
    with pytest.raises(EngineError, match="uses the classic image store, which cannot export OCI layouts"):
        find(classic[0])


def test_both_images_are_loaded_at_once_and_keep_every_promise(
    image: BuiltImage, settings: Settings, classic: tuple[Settings, Engine]
) -> None:
    chosen, docker = classic
    assert image.result.image_base is not None
    images = {
        image.reference: image.result.manifest_digest,
        f"{image.reference}-base": image.result.image_base.manifest,
    }
    loaded = docker.load(Store.open(settings.store).layout.root, images)
    assert loaded == (image.result.image_id, image.result.image_base.id), "its IDs are the digests of configs"
    for reference in images:
        facts = docker.inspect(reference)
        assert facts is not None
        assert [str(layer) for layer in facts.layers] == [layer.diff_id for layer in image.result.layers]
    report = check_image(image.reference, settings=chosen, grace=GRACE)
    assert failures(report) == {}, describe_check(report)
    assert len(report.results) >= 20


def test_the_command_line_checks_an_image_there(
    image: BuiltImage, classic: tuple[Settings, Engine], tmp_path: Path
) -> None:
    host = classic[1].endpoint.host
    assert host is not None
    command = CommandLine(workspace=ROOT, store=tmp_path / "store", environment={"DOCKER_HOST": host})
    answer = command.run("check", image.reference, "--only", "user", "--only", "folders", "--json", "-q").succeeded()
    assert answer.document["passed"]
    assert not (tmp_path / "store").exists(), "looking at an image needs no store"
