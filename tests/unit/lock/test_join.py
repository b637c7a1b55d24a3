"""Locking a small release against a small archive and a small index, and what is said when the lock is stale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.errors import LockError, ResolutionError, UsageError
from rtbuild.fetch.http import Web
from rtbuild.fetch.mirrors import SETTINGS, Mirror, Mirrors
from rtbuild.fetch.remote import MirrorSources
from rtbuild.lock.check import check_lock
from rtbuild.lock.debian import Keyring
from rtbuild.lock.format import record_results, write_engine_lock, write_lock
from rtbuild.lock.join import resolve_engine_lock, resolve_lock
from rtbuild.lock.model import Lock
from rtbuild.platform import PLATFORMS
from rtbuild.project import Project
from tests.fakes import locks
from tests.fakes.debian_archive import BUILT, DebianArchive, FakeDeb, MirrorServer
from tests.fakes.package_index import PackageIndex, make_sdist, make_wheel
from tests.fakes.projects import put, write_project

AMD64 = PLATFORMS["linux/amd64"]
DEBS = (
    FakeDeb(name="apt", depends="libc6", architecture="amd64"),
    FakeDeb(name="libc6", version="2.31-13+deb11u14", architecture="amd64", essential=True),
    FakeDeb(name="tini", version="0.19-1", architecture="amd64", built=BUILT + 5),
    FakeDeb(name="python3.9", version="3.9.2-1", architecture="amd64", depends="libpython3.9-minimal"),
    FakeDeb(name="libpython3.9-minimal", version="3.9.2-1", architecture="amd64", depends="libc6"),
)


@dataclass
class World:
    """A project with an archive and an index to lock it against."""

    project: Project
    archive: DebianArchive
    server: MirrorServer
    index: PackageIndex
    web: Web
    folder: Path
    runs: int = 0

    def resolve(self, *, upgrade: Mapping[str, str | None] | None = None, refresh: bool = False) -> Lock:
        """Lock the release and write the lock."""
        self.server.requests.clear()
        self.index.requested.clear()
        release = self.project.release("8.0")
        # A fresh cache each time: what is asked of a mirror shows what was resolved.
        self.runs += 1
        mirrors = Mirrors(
            debian=(Mirror(address=self.server.url, origin=SETTINGS),),
            python=(Mirror(address=self.index.url, origin=SETTINGS),),
        )
        sources = MirrorSources(mirrors, self.folder / f"answers-{self.runs}", web=self.web)
        lock = resolve_lock(
            self.project,
            release,
            AMD64,
            sources,
            upgrade=upgrade,
            refresh=refresh,
            cache=self.folder / f"pip-{self.runs}",
            keyring=Keyring.from_bytes(self.archive.key.certificate, name="test"),
        )
        write_lock(self.project.lock_path("8.0.0", AMD64), lock)
        return lock

    def change(self, layer: str, old: str, new: str) -> None:
        """Edit a recipe file."""
        path = self.project.root / "recipes" / f"{layer}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def check(self) -> tuple[str, ...]:
        """What is stale."""
        return check_lock(self.project, self.project.release("8.0"), AMD64)


@contextmanager
def small_world(folder: Path) -> Iterator[World]:
    archive = DebianArchive(folder / "debian")
    archive.publish("bullseye", DEBS)
    web = Web()
    with PackageIndex() as index, archive.serve() as server:
        requires = ["spam", "celery; extra == 'celery'"]
        index.publish(make_wheel("apache-airflow", "2.6.0", requires=requires, extras=["celery", "async"]))
        for name, version in (("http", "4.3.0"), ("amazon", "8.0.0"), ("amazon", "8.1.0")):
            index.publish(make_wheel(f"apache-airflow-providers-{name}", version))
        for name, version in (("celery", "5.2"), ("spam", "1.0"), ("pip", "23.1.2"), ("astro-sdk-python", "1.5.3")):
            index.publish(make_wheel(name, version))
        index.publish(make_wheel("pip", "23.2"), uploaded="2023-06-01T00:00:00Z")
        project = Project(root=write_project(folder / "project"))
        yield World(project=project, archive=archive, server=server, index=index, web=web, folder=folder)
    web.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world without a lock."""
    with small_world(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Lock:
    """The lock of a new world, made once because resolving takes a second."""
    with small_world(tmp_path_factory.mktemp("first")) as made:
        return made.resolve()


@pytest.fixture
def locked(world: World, first: Lock) -> World:
    """A world with that lock."""
    write_lock(world.project.lock_path("8.0.0", AMD64), first)
    return world


def versions(lock: Lock) -> dict[str, str]:
    return {one.name: one.version for one in (*lock.debs, *lock.pythons)}


def test_a_lock_joins_both_sides(first: Lock) -> None:
    assert {deb.name: deb.layer for deb in first.debs} == {
        "apt": "base-os",
        "libc6": "base-os",
        "libpython3.9-minimal": "python",
        "python3.9": "python",
        "tini": "base-os",
    }
    assert {one.name: one.layer for one in first.pythons} == {
        "apache-airflow": "airflow",
        "apache-airflow-providers-amazon": "providers",
        "apache-airflow-providers-http": "providers",
        "astro-sdk-python": "providers",
        "celery": "providers",
        "pip": "airflow",
        "spam": "airflow",
    }
    assert first.python == "3.9.2"
    assert first.as_of == datetime(2023, 5, 2, tzinfo=UTC)
    assert first.source_date_epoch == datetime(2023, 1, 1, 12, tzinfo=UTC).timestamp()
    assert set(dict(first.inputs)) > {"recipes/releases/8.0.0.toml", "recipes/layers/base-os.toml"}


def test_the_lock_that_is_read_is_the_lock_that_was_resolved(locked: World, first: Lock) -> None:
    assert locked.project.read_lock("8.0.0", AMD64) == first
    assert locked.check() == ()


def test_locking_again_changes_nothing_and_asks_nobody(locked: World) -> None:
    before = locked.project.lock_path("8.0.0", AMD64).read_bytes()
    locked.archive.publish("bullseye", (*DEBS, FakeDeb(name="tini", version="0.20-1", architecture="amd64")))
    locked.resolve()
    assert locked.project.lock_path("8.0.0", AMD64).read_bytes() == before
    assert locked.server.requests == []
    assert locked.index.requested == []


def test_a_refresh_takes_what_is_new(locked: World) -> None:
    locked.archive.publish("bullseye", (*DEBS, FakeDeb(name="tini", version="0.20-1", architecture="amd64")))
    assert versions(locked.resolve(refresh=True))["tini"] == "0.20-1"


def test_a_change_of_one_side_leaves_the_other(locked: World, first: Lock) -> None:
    locked.change("releases/8.0.0", 'amazon = "8.0.0"', 'amazon = "8.1.0"')
    after = locked.resolve()
    assert after.debs == first.debs
    assert locked.server.requests == []
    moved = versions(after).items() ^ versions(first).items()
    assert moved == {("apache-airflow-providers-amazon", "8.0.0"), ("apache-airflow-providers-amazon", "8.1.0")}


def test_what_was_locked_stays_when_something_else_changes(locked: World) -> None:
    locked.index.publish(make_wheel("spam", "1.1"))
    locked.change("releases/8.0.0", 'amazon = "8.0.0"', 'amazon = "8.1.0"')
    assert versions(locked.resolve())["spam"] == "1.0"


def test_an_upgrade_moves_one_python_package(locked: World) -> None:
    for name in ("spam", "celery"):
        locked.index.publish(make_wheel(name, "6.0"))
    after = versions(locked.resolve(upgrade={"Spam": None}))
    assert (after["spam"], after["celery"]) == ("6.0", "5.2")
    assert locked.server.requests == []


def test_an_upgrade_moves_one_debian_package(locked: World) -> None:
    newer = (replace(deb, version="9-1") if deb.name in ("tini", "apt") else deb for deb in DEBS)
    locked.archive.publish("bullseye", tuple(newer))
    after = versions(locked.resolve(upgrade={"tini": None}))
    assert after["tini"] == "9-1"
    assert locked.index.requested == []


def test_an_upgrade_of_something_that_is_not_locked(locked: World) -> None:
    with pytest.raises(UsageError, match="eggs is not locked, so it cannot be upgraded"):
        locked.resolve(upgrade={"eggs": None})


def test_recorded_results_live_as_long_as_their_inputs(locked: World, first: Lock) -> None:
    path = locked.project.lock_path("8.0.0", AMD64)
    record_results(path, locks.lock().layers, locks.lock().image, locks.lock().image)
    assert locked.resolve() == replace(
        first, layers=locks.lock().layers, image=locks.lock().image, image_base=locks.lock().image
    )
    locked.change("layers/base-os", '"C.UTF-8"', '"C"')
    after = locked.resolve()
    assert (after.layers, after.image, after.image_base) == ((), None, None)
    assert after.debs == first.debs


def test_an_sdist_brings_what_builds_it(world: World) -> None:
    world.index.publish(make_sdist("astro-sdk-python", "1.5.4"))
    world.index.publish(make_wheel("setuptools", "67.7.2"))
    world.index.publish(make_wheel("wheel", "0.40"))
    world.change("releases/8.0.0", "astro-sdk-python==1.5.3", "astro-sdk-python==1.5.4")
    lock = world.resolve()
    assert "setuptools" in {one.name for one in lock.build_pythons}
    assert world.project.read_lock("8.0.0", AMD64) == lock


def test_a_python_that_no_layer_brings(world: World) -> None:
    world.change("layers/python", '"python3.9"', '"tini"')
    with pytest.raises(ResolutionError) as caught:
        world.resolve()
    assert caught.value.brief == "release 8.0.0: no Debian package brings Python 3.9"
    assert caught.value.hint == "a Debian layer has to name python3.9"


def test_a_lock_with_conflict_markers_says_how_to_go_on(world: World) -> None:
    put(world.project.lock_path("8.0.0", AMD64), "<<<<<<< ours\n")
    with pytest.raises(LockError) as caught:
        world.resolve()
    assert caught.value.hint == "mend it, or forget it with --refresh"
    assert world.resolve(refresh=True).debs


def test_an_engine_lock_names_each_package_of_its_recipe(world: World) -> None:
    world.archive.publish("trixie", [FakeDeb(name="docker.io", version="26.1-1", architecture="amd64")])
    world.archive.publish("bookworm", [FakeDeb(name="runc", version="1.1-1", architecture="amd64")])
    mirrors = Mirrors(debian=(Mirror(address=world.server.url, origin=SETTINGS),))
    lock = resolve_engine_lock(
        world.project,
        "default",
        AMD64,
        MirrorSources(mirrors, world.folder / "answers", web=world.web),
        keyring=Keyring.from_bytes(world.archive.key.certificate, name="test"),
    )
    assert [(deb.name, deb.version, deb.suite) for deb in lock.debs] == [
        ("docker.io", "26.1-1", "trixie"),
        ("runc", "1.1-1", "bookworm"),
    ]
    write_engine_lock(world.project.engine_lock_path("default", AMD64), lock)
    assert world.project.read_engine_lock("default", AMD64) == lock
