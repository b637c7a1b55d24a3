"""Which packages stay as the lock has them when others move."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import pytest

from rtbuild.errors import ResolutionError, UsageError
from rtbuild.lockfile.model import DebArtifact
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian import locked as locked_module
from tests.fakes.debian_archive import FakeDeb
from tests.unit.resolve.debian.conftest import STABLE, World

UPDATES = Suite(archive="debian", suite="updates")


def moved(world: World) -> tuple[DebArtifact, ...]:
    """A lock of an older state of the suite, which has moved on since; the old files are still in the pool."""
    old = [
        FakeDeb(name="a", version="1", depends="b, c | d"),
        FakeDeb(name="b", version="1"),
        FakeDeb(name="c", version="1"),
    ]
    world.archive.publish("stable", old)
    locked = world.resolve("a")
    new = [FakeDeb(name="a", version="2", depends="b, d | c"), *(FakeDeb(name=n, version="2") for n in "bcd")]
    world.archive.publish("stable", new)
    return locked


def versions(debs: Sequence[DebArtifact]) -> dict[str, str]:
    return {deb.name: deb.version for deb in debs}


def test_without_upgrade_the_newest_wins(world: World) -> None:
    locked = moved(world)
    assert versions(world.resolve("a", locked=locked)) == {"a": "2", "b": "2", "d": "2"}


def test_with_upgrade_only_the_named_packages_move(world: World) -> None:
    locked = moved(world)
    assert world.resolve("a", locked=locked, upgrade=[]) == locked
    assert versions(world.resolve("a", locked=locked, upgrade=["b"])) == {"a": "1", "b": "2", "c": "1"}
    # Of a's new alternatives, the locked one is kept.
    assert versions(world.resolve("a", locked=locked, upgrade=["a"])) == {"a": "2", "b": "1", "c": "1"}


def test_a_package_that_an_upgrade_forces_moves_too(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", version="1", depends="b"), FakeDeb(name="b", version="1")])
    locked = world.resolve("a")
    world.archive.publish(
        "stable", [FakeDeb(name="a", version="2", depends="b (>= 2)"), FakeDeb(name="b", version="2")]
    )
    assert versions(world.resolve("a", locked=locked, upgrade=["a"])) == {"a": "2", "b": "2"}


def test_a_locked_package_whose_file_is_gone_moves(world: World) -> None:
    locked = moved(world)
    (world.archive.root / FakeDeb(name="b", version="1").path).unlink()
    assert versions(world.resolve("a", locked=locked, upgrade=["zlib"])) == {"a": "1", "b": "2", "c": "1"}
    assert world.progress.notes == ["b 1 cannot stay: no mirror has pool/main/b/b/b_1_all.deb anymore"]


def forge(world: World, package: FakeDeb, *, depends: str) -> None:
    """Serve a package of the same name and size with other dependencies."""
    place = world.archive.root / package.path
    size = place.stat().st_size
    forged = dataclasses.replace(package, files={}, depends=depends).build()
    place.write_bytes(forged.ljust(size, b"\0"))
    assert place.stat().st_size == size


def test_forged_relations_of_a_locked_package_are_not_used(world: World) -> None:
    files = {"usr/share/a": hashlib.sha256(b"").digest() * 40}
    old, new = (FakeDeb(name="a", version=version, depends="b", files=files) for version in "12")
    others = [FakeDeb(name="b"), FakeDeb(name="evil")]
    world.archive.publish("stable", [old, *others])
    locked = world.resolve("a")
    forge(world, old, depends="b, evil")
    # Still listed: the index, which the archive signed, says what it needs.
    assert world.resolve("a", locked=locked, upgrade=[]) == locked
    world.archive.publish("stable", [new, *others])
    # Superseded: the file itself is read, but it is not the locked one.
    assert versions(world.resolve("a", locked=locked, upgrade=[])) == {"a": "2", "b": "1.0"}
    assert world.progress.notes == [f"a 1 may move: {old.path}: a mirror serves another file than the locked one"]


def test_superseded_packages_are_read_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{number}" for number in range(5)]
    world.archive.publish("stable", [FakeDeb(name=name) for name in names])
    locked = world.resolve(*names)
    world.archive.publish("stable", [FakeDeb(name=name, version="2.0") for name in names])
    monkeypatch.setattr(locked_module, "_AT_ONCE", 2 * locked[0].size)
    assert world.resolve(*names, locked=locked, upgrade=[]) == locked


def test_upgrade_may_name_a_version(world: World) -> None:
    locked = moved(world)
    world.archive.publish("updates", [FakeDeb(name="b", version="3")])
    both = (STABLE, UPDATES)
    assert versions(world.resolve("a", suites=both, locked=locked, upgrade=["b==2"]))["b"] == "2"
    assert versions(world.resolve("a", suites=both, locked=locked, upgrade=["b"]))["b"] == "3"
    assert world.resolve("a", suites=both, locked=locked, upgrade=["flask==2"]) == locked
    with pytest.raises(ResolutionError, match="base: its suites have no version 9 of the Debian package b"):
        world.resolve("a", suites=both, locked=locked, upgrade=["b==9"])
    with pytest.raises(UsageError, match="b==9_: '9_' is not a Debian version"):
        world.resolve("a", suites=both, locked=locked, upgrade=["b==9_"])
