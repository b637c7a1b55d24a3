"""The `lock` verb: what it reads, writes and returns. Nothing here is resolved, so no mirror is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from rtbuild.errors import IntegrityError, LockError, RecipeError, UsageError
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.mirror.find import find_mirrors
from rtbuild.platform import PLATFORMS
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.settings import Settings, load_settings
from rtbuild.verbs.lock import check_lock, lock, lock_engine
from rtbuild.workspace import Workspace
from tests.fakes.debian_archive import PUBLISHED, DebianArchive, FakeDeb
from tests.fakes.fitting_lock import write_fitting_lock
from tests.fakes.patches import write_patch
from tests.fakes.workspaces import put, write_workspace

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]
LOCKFILE = "runtime.lock/8.0.0/linux-amd64.toml"


@dataclass(frozen=True)
class World:
    """A workspace with a lock that fits it."""

    workspace: Workspace
    settings: Settings
    lock: Lock

    @property
    def path(self) -> Path:
        return self.workspace.root / LOCKFILE

    def change(self, file: str, old: str, new: str) -> None:
        """Edit a recipe file."""
        path = self.workspace.root / "recipes" / f"{file}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def world(tmp_path: Path) -> World:
    workspace = Workspace(root=write_workspace(tmp_path / "workspace"))
    settings = load_settings({}, workspace.root, store=tmp_path / "store")
    return World(workspace=workspace, settings=settings, lock=write_fitting_lock(workspace))


def test_a_lock_that_fits_is_unchanged(world: World) -> None:
    before = world.path.read_bytes()
    result = lock(world.workspace, "8.0", platform=AMD64, settings=world.settings)
    assert (result.release, result.platform, result.path) == ("8.0.0", AMD64, world.path)
    assert (result.lock, result.moved) == (world.lock, ())
    assert not result.changed
    assert not result.is_new
    assert world.path.read_bytes() == before


def test_a_changed_recipe_is_written_into_the_lockfile(world: World) -> None:
    world.change("layers/base-os", '"C.UTF-8"', '"C"')
    result = lock(world.workspace, "8.0.0", platform=AMD64, settings=world.settings)
    assert result.changed
    assert result.moved == ()
    assert world.workspace.read_lock("8.0.0", AMD64) == result.lock
    assert result.lock.image is None
    assert check_lock(world.workspace, "8.0", platform=AMD64) == ()


def test_the_result_says_which_packages_moved(world: World) -> None:
    world.change("releases/8.0.0", "extras =", 'patches = ["more"]\nextras =')
    write_patch(world.workspace.root, "more")
    result = lock(world.workspace, "8.0", platform=AMD64, settings=world.settings)
    assert list(map(str, result.moved)) == ["~ apache-airflow-providers-http 4.3.0 -> 4.3.0+astro.1 (python)"]


def test_the_settings_are_those_of_the_workspace(world: World, tmp_path: Path) -> None:
    put(world.workspace.root / "rtbuild.toml", 'store = "../elsewhere"\n')
    lock(world.workspace, "8.0", platform=AMD64)
    assert (tmp_path / "elsewhere" / "format").is_file()


def test_a_platform_that_the_release_does_not_support(world: World) -> None:
    with pytest.raises(RecipeError, match=r"release 8\.0\.0 .* linux/arm64"):
        lock(world.workspace, "8.0", platform=ARM64, settings=world.settings)
    with pytest.raises(RecipeError, match=r"release 8\.0\.0 .* linux/arm64"):
        check_lock(world.workspace, "8.0", platform=ARM64)


def test_an_upgrade_of_a_package_that_is_not_locked(world: World) -> None:
    with pytest.raises(UsageError, match="eggs is not locked"):
        lock(world.workspace, "8.0", platform=AMD64, settings=world.settings, upgrade={"eggs": None})


def test_a_malformed_lock_says_how_to_go_on(world: World) -> None:
    world.path.write_text("<<<<<<< ours\n")
    with pytest.raises(LockError) as caught:
        lock(world.workspace, "8.0", platform=AMD64, settings=world.settings)
    assert caught.value.hint == "restore it from version control, or ignore it with: rtbuild lock 8.0.0 --refresh"
    assert world.path.read_text() == "<<<<<<< ours\n"


@pytest.fixture
def archive(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DebianArchive:
    """The mirror of the world, trusted instead of Debian; nobody can sign with the keys that rtbuild ships."""
    archive = DebianArchive(tmp_path / "debian")
    keyring = Keyring.from_bytes(archive.key.certificate, name="the key of the test")
    monkeypatch.setattr("rtbuild.resolve.debian.resolve.debian_keyring", lambda: keyring)
    # A machine without apt, whose mirrors would be asked as well.
    monkeypatch.setitem(cast(dict[str, object], find_mirrors.__kwdefaults__), "root", tmp_path)
    needs = {"python3.9": "libpython3.9-minimal", "apt": "libc6"}
    debs = [
        FakeDeb(name=deb.name, version=deb.version, architecture="amd64", depends=needs.get(deb.name, ""))
        for deb in world.lock.debs
    ]
    archive.publish("bullseye", debs, date=datetime(2023, 4, 28, tzinfo=UTC))
    return archive


def test_an_older_archive_than_the_locks_is_refused(world: World, archive: DebianArchive) -> None:
    settings = replace(world.settings, debian_mirrors=(str(archive.root),))
    before = world.path.read_bytes()
    for options in ({"upgrade": {"tini": None}}, {"refresh": True}):
        with pytest.raises(IntegrityError) as caught:
            lock(world.workspace, "8.0", platform=AMD64, settings=settings, **options)
        assert "it is from 2023-04-28 00:00 UTC, but the lock was made with one from 2023-04-29 09:08 UTC" in str(
            caught.value.details
        )
        assert "--allow-older-archive" in str(caught.value.hint)
        assert world.path.read_bytes() == before
    result = lock(
        world.workspace,
        "8.0",
        platform=AMD64,
        settings=settings,
        upgrade={"tini": None},
        allow_older_archive=True,
    )
    assert result.lock.suites[0].date == datetime(2023, 4, 28, tzinfo=UTC)


def test_an_older_archive_than_the_engine_locks_is_refused(world: World, archive: DebianArchive) -> None:
    settings = replace(world.settings, debian_mirrors=(str(archive.root),))
    for suite, name in (("trixie", "docker.io"), ("bookworm", "runc")):
        archive.publish(suite, [FakeDeb(name=name, architecture="amd64")])
    first = lock_engine(world.workspace, "default", platform=AMD64, settings=settings)
    archive.publish("trixie", [FakeDeb(name="docker.io", architecture="amd64")], date=PUBLISHED - timedelta(days=1))
    with pytest.raises(IntegrityError, match="dists/trixie/InRelease"):
        lock_engine(world.workspace, "default", platform=AMD64, settings=settings)
    assert world.workspace.read_engine_lock("default", AMD64) == first.lock
    result = lock_engine(world.workspace, "default", platform=AMD64, settings=settings, allow_older_archive=True)
    assert [suite.date for suite in result.lock.suites] == [PUBLISHED, PUBLISHED - timedelta(days=1)]


def test_check_of_a_lock_in_an_old_format(world: World) -> None:
    write_lock(world.path, replace(world.lock, suites=(), version=1))
    assert check_lock(world.workspace, "8.0", platform=AMD64) == (
        "its format is version 1, which records neither the suites' dates nor source packages",
    )


def test_check_of_a_fresh_lock(world: World) -> None:
    assert check_lock(world.workspace, "8.0", platform=AMD64) == ()


def test_check_of_a_stale_lock(world: World) -> None:
    world.change("layers/base-os", '"C.UTF-8"', '"C"')
    stale = ("recipes/layers/base-os.toml has changed since the lock was made",)
    assert check_lock(world.workspace, "8.0", platform=AMD64) == stale


def test_check_of_a_missing_lock(world: World) -> None:
    world.path.unlink()
    assert check_lock(world.workspace, "8.0", platform=AMD64) == ("there is no lock of 8.0.0 for linux/amd64",)


def test_check_of_a_malformed_lock(world: World) -> None:
    world.path.write_text("version = 1")
    with pytest.raises(LockError):
        check_lock(world.workspace, "8.0", platform=AMD64)


def test_check_of_a_lock_of_another_release(world: World) -> None:
    write_lock(world.path, replace(world.lock, release="9.0.0"))
    with pytest.raises(LockError, match=r"is the lock of 9\.0\.0"):
        check_lock(world.workspace, "8.0", platform=AMD64)
