"""The same image from an empty store: in another place, as another user, at another time, with another engine."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rtbuild.engine import private, select
from rtbuild.engine.build import layout_reference
from rtbuild.engine.engine import Engine
from rtbuild.errors import MirrorError
from rtbuild.lockfile.model import EngineLock, Lock
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.oci.descriptor import CONFIG, MANIFEST
from rtbuild.oci.image import image_config, manifest
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.names import CONTAINERD_NAME
from rtbuild.platform import host_platform
from rtbuild.recipe.model import ImageSettings
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.lock import lock_engine
from rtbuild.workspace import Workspace
from tests.fakes.users import require_root
from tests.integration.clock import HOST, MOMENT, FalseClock
from tests.integration.command_line import CommandLine, artifacts_of, lend, reaching
from tests.integration.conftest import AMD64, ROOT, FirstBuild
from tests.integration.told import Told

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def root() -> None:
    """Private engines need Linux and root."""
    require_root()


STRANGER = 51234
"""The ID of a user without an account."""


def identity(answer: dict[str, Any], store: Path) -> dict[str, Any]:
    """Return the parts of a build's result and of its store that must be the same everywhere."""
    images = {
        dict(image.annotations)[CONTAINERD_NAME]: image.digest for image in Layout.open(store / "layout").read_index()
    }
    layers = [{name: layer[name] for name in ("name", "key", "diff_id", "size")} for layer in answer["layers"]]
    return {name: answer[name] for name in ("image_id", "manifest_digest", "compressor")} | {
        "layers": layers,
        "images": images,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Private engines in a folder of their own."""

    settings: Settings
    store: Store

    def start(self, lock: EngineLock, name: str, clock: FalseClock | None = None) -> Engine:
        fetch_artifacts(lock.debs, self.store, self.settings, progress=Told())
        folder = self.settings.engine_dir
        status = private.start(lock, self.store.artifact_path, folder, name=name, progress=Told())
        if clock is not None:
            private.stop(folder, name)
            clock.put_into(status)
            # An engine with other programs than were unpacked is unpacked again: the clock is to be one of them.
            home = folder / name
            (home / "programs").write_text(private.programs_listing(home / "root"))
            status = private.start(lock, self.store.artifact_path, folder, name=name, progress=Told())
        return select.private_engine(status, store=self.store.root)


@pytest.fixture(scope="module")
def engines(settings: Settings, artifacts: Store) -> Iterator[Engines]:
    # Not in pytest's folder, because another user must be able to run the programs.
    folder = Path(tempfile.mkdtemp(prefix="rtbuild-engines-"))
    folder.chmod(0o755)
    yield Engines(settings=replace(settings, engine_dir=folder), store=artifacts)
    for home in folder.iterdir():
        private.stop(folder, home.name)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def clock(settings: Settings, artifacts: Store, tmp_path_factory: pytest.TempPathFactory) -> FalseClock:
    return FalseClock.get(AMD64, settings, artifacts, tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def strange_engine(engines: Engines, workspace: Workspace, clock: FalseClock) -> Engine:
    """An engine whose containers have another clock and host name, and that any user may use."""
    engine = engines.start(workspace.read_engine_lock("default", host_platform()), "strange", clock)
    assert engine.endpoint.host is not None
    assert engine.endpoint.docker.is_relative_to(engines.settings.engine_dir)
    Path(engine.endpoint.host.removeprefix("unix://")).chmod(0o666)
    return engine


def base_layer(first: FirstBuild, folder: Path) -> str:
    """Return a reference to an image of the lowest layer of a build, for use as a parent."""
    layout = Layout.open(first.store / "layout")
    image = read_stored_image(layout, first.answer["manifest_digest"])
    base = image.layers[0]
    content = image_config(ImageSettings(), platform=AMD64, epoch=0, layers=[("base-os", image.diff_ids[0])])
    config = layout.put_blob(content, CONFIG)
    document = layout.put_blob(manifest(config, [base]), MANIFEST)
    return layout_reference(folder, blobs=layout.root / "blobs", manifest=document.digest, size=document.size)


def test_the_strange_engine_is_strange(strange_engine: Engine, first_build: FirstBuild, tmp_path: Path) -> None:
    """Otherwise the next test would prove nothing."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        'FROM parent\nRUN echo "it is $(date -u +%Y-%m-%d) on $(hostname)" && rm -rf /var/lib/dpkg\n'
    )
    lines: list[str] = []
    strange_engine.build(
        context,
        contexts={"parent": base_layer(first_build, tmp_path / "parent")},
        output_local=tmp_path / "out",
        log=tmp_path / "log",
        on_line=lines.append,
    )
    assert any(line.endswith(f" it is {MOMENT[:10]} on {HOST}") for line in lines), lines
    assert datetime.fromisoformat(MOMENT).replace(tzinfo=UTC) > datetime.now(UTC)
    assert socket.gethostname() != HOST


def test_another_user_in_another_place_at_another_time(
    first_build: FirstBuild,
    strange_engine: Engine,
    clock: FalseClock,
    lock: Lock,
    artifacts: Store,
    room: Path,
) -> None:
    """Another user, host name, umask, time zone, language, clock, folder and number of workers."""
    home = room / "a home with spaces & ünïcode"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    store = lend(artifacts_of(lock), artifacts, home / "the store", owner=STRANGER)
    environment = {
        **reaching(strange_engine),
        "HOME": str(home),
        "USER": "stranger",
        "LOGNAME": "stranger",
        "TMPDIR": str(home),
        "TZ": "Pacific/Kiritimati",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "PYTHONHASHSEED": "42",
        "SOURCE_DATE_EPOCH": "1",
        "DOCKER_DEFAULT_PLATFORM": "linux/arm64",
    }
    elsewhere = CommandLine(
        workspace=ROOT,
        store=store.root,
        environment=environment,
        before=[
            "unshare",
            "--uts",
            "sh",
            "-euc",
            f'hostname {HOST}; umask 077; exec "$@"',
            "sh",
            # The user may read everything, because the checkout may be in root's home, but owns only its store.
            *("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
            *clock.before_python(room / "clock", str(ROOT / "src")),
        ],
    )
    second = elsewhere.run("build", "8.0", "--json", "--jobs", "1").succeeded().document
    assert {layer["state"] for layer in second["layers"]} == {"built"}
    assert {path.name[:4] for path in store.logs.iterdir()} == {MOMENT[:4]}
    assert {path.stat().st_uid for path in store.layout.blob_files()} == {STRANGER}
    assert identity(second, store.root) == identity(first_build.answer, first_build.store)


def test_another_version_of_the_engine(
    first_build: FirstBuild,
    strange_engine: Engine,
    engines: Engines,
    workspace: Workspace,
    lock: Lock,
    settings: Settings,
    artifacts: Store,
    room: Path,
) -> None:
    newer = engines.start(locked_testing(workspace, settings, artifacts, room / "project"), "newer")
    assert newer.versions.docker != strange_engine.versions.docker
    store = lend(artifacts_of(lock), artifacts, room / "store")
    command = CommandLine(workspace=ROOT, store=store.root, environment=reaching(newer))
    third = command.run("build", "8.0", "--json").succeeded().document
    assert {layer["state"] for layer in third["layers"]} == {"built"}
    assert identity(third, store.root) == identity(first_build.answer, first_build.store)


def locked_testing(workspace: Workspace, settings: Settings, store: Store, folder: Path) -> EngineLock:
    """Return the packages of Debian testing's Docker: those that are locked, or today's if testing has dropped them."""
    locked = workspace.read_engine_lock("testing", host_platform())
    try:
        fetch_artifacts(locked.debs, store, settings, progress=Told())
    except MirrorError as error:
        print(f"locking the testing engine again: {error.brief}\n{error.details}")
        shutil.copytree(workspace.root / "recipes", folder / "recipes")
        settings = replace(settings, store=store.root)
        return lock_engine(Workspace.find(folder), "testing", settings=settings, progress=Told()).lock
    return locked
