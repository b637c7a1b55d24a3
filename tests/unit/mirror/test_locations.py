"""A suite of a moment: what is locked from a dated archive is fetched from there too, by every verb that fetches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from rtbuild.cli.commands import rtbuild
from rtbuild.derivations.plan import plan_release
from rtbuild.errors import BuildError
from rtbuild.lockfile.derived import newest_input
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.mirror.find import SETTINGS, Mirror, Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.platform import PLATFORMS
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.resolve.debian.resolve import resolve_debian
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import realise
from tests.fakes.debian_archive import DebianArchive, FakeDeb, serve_folder
from tests.fakes.docker_command import FakeDocker
from tests.fakes.workspaces import BASE_OS, write_workspace

AMD64 = PLATFORMS["linux/amd64"]
MOMENT = "20230501T000000Z"
PROVIDERS = (("http", "4.3.0"), ("amazon", "8.0.0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A project locked from an archive that has a folder for `MOMENT` and nothing beside it."""

    workspace: Workspace
    lock: Lock
    settings: Settings


@pytest.fixture
def dated(tmp_path: Path) -> Iterator[Dated]:
    archive = DebianArchive(tmp_path / "mirror" / MOMENT)
    debs = [FakeDeb(name=name, architecture="amd64") for name in ("apt", "tini", "python3.9-minimal")]
    debs.append(FakeDeb(name="python3.9", architecture="amd64", depends="python3.9-minimal"))
    archive.publish("bullseye", debs, date=datetime(2023, 4, 29, tzinfo=UTC))
    asked = BASE_OS.replace('suite = "bullseye"', f'suite = "bullseye"\nsnapshot = "{MOMENT}"')
    workspace = Workspace.find(write_workspace(tmp_path / "project", base_os=asked))
    recipe = workspace.release("8.0.0")
    with serve_folder(tmp_path / "mirror") as server:
        mirrors = Mirrors(debian=(Mirror(address=server.url, origin=SETTINGS),))
        environment = LockEnvironment(
            sources=MirrorSources(mirrors, tmp_path / "answers", web=Web()),
            cache=tmp_path / "pip",
            keyring=Keyring.from_bytes(archive.key.certificate, name="the key of the test"),
        )
        found = resolve_debian(recipe.debian_layers, AMD64, environment)
        wheels = [
            locks.wheel("apache-airflow", "2.6.0", layer="airflow"),
            locks.wheel("pip", "23.1.2", layer="airflow"),
        ]
        wheels += [locks.wheel(f"apache-airflow-providers-{name}", version) for name, version in PROVIDERS]
        pythons = (*wheels, locks.wheel("astro-sdk-python", "1.5.3"))
        lock = locks.lock(
            inputs=recipe.inputs,
            debs=found,
            pythons=pythons,
            source_date_epoch=newest_input(found, pythons),
            layers=(),
            image=None,
        )
        write_lock(workspace.lock_path("8.0.0", AMD64), lock)
        settings = Settings(
            store=tmp_path / "store",
            engine_dir=tmp_path / "engine",
            debian_mirrors=(server.url,),
            pip_environment=(("PIP_INDEX_URL", server.url),),
            retries=0,
        )
        yield Dated(workspace=workspace, lock=workspace.read_lock("8.0.0", AMD64), settings=settings)


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker that will do, as far as it is asked before anything is built."""
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path / 'docker').install()}:/usr/bin:/bin")


def test_a_build_fetches_from_the_dated_archive(dated: Dated) -> None:
    store = Store.open(dated.settings.store)
    for layer in ("airflow", "providers"):
        realise(store, plan_release(dated.workspace.release("8.0.0"), dated.lock, store), layer)
    with pytest.raises(BuildError, match="has no package mawk"):  # these packages make no system, once they are there
        build(dated.workspace, "8.0", platform=AMD64, settings=dated.settings)
    assert all(store.verify_artifact(deb) for deb in dated.lock.debs)


def test_the_fetch_command_does_too(dated: Dated) -> None:
    environment = {
        "RTBUILD_STORE": str(dated.settings.store),
        "RTBUILD_ENGINE_DIR": str(dated.settings.engine_dir),
        "RTBUILD_DEBIAN_MIRRORS": dated.settings.debian_mirrors[0],
        "PIP_INDEX_URL": dated.settings.debian_mirrors[0],
        "RTBUILD_PYTHON_INDEXES": None,
        "RTBUILD_RETRIES": "0",
    }
    arguments = ["fetch", "8.0", "--platform", "linux/amd64", "--workspace", str(dated.workspace.root)]
    result = CliRunner(env=environment).invoke(rtbuild, arguments)
    assert ".whl: no mirror has served the file" in result.stderr
    store = Store.open(dated.settings.store)
    assert all(store.verify_artifact(deb) for deb in dated.lock.debs)
