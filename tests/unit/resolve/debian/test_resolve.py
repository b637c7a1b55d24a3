"""What a locked package says, what is looked for on mirrors, and what stays as it was."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, MirrorError, RecipeError, ResolutionError, UsageError
from rtbuild.formats.deb import HEAD
from rtbuild.lockfile.model import DebArtifact
from rtbuild.mirror.sources import Wanted
from rtbuild.platform import parse_platform
from rtbuild.recipe.model import EngineRecipe, Suite
from rtbuild.resolve.debian import locked as locked_module
from rtbuild.resolve.debian.resolve import resolve_debian, resolve_engine
from tests.fakes.debian_archive import FakeDeb, FolderSources
from tests.unit.resolve.debian.conftest import AMD64, STABLE, World, layer

Publish = Callable[..., World]
UPDATES = Suite(archive="debian", suite="updates")


def test_an_artifact_says_all_that_a_build_needs(publish: Publish) -> None:
    a = FakeDeb(name="a", version="1:2.0-3", architecture="amd64", depends="v | c, b (>= 1), b", built=1_600_000_123)
    world = publish(a, FakeDeb(name="b"), FakeDeb(name="o", provides="v"))
    assert world.resolve("a")[0] == DebArtifact(
        name="a",
        version="1:2.0-3",
        architecture="amd64",
        archive="debian",
        suite="stable",
        filename="a_2.0-3_amd64.deb",
        path="pool/main/a/a/a_2.0-3_amd64.deb",
        size=len(a.build()),
        sha256=hashlib.sha256(a.build()).hexdigest(),  # type: ignore[arg-type]
        built=1_600_000_123,
        layer="base",
        essential=False,
        depends=("b", "o"),
    )


def test_the_same_indexes_give_the_same_lock(publish: Publish) -> None:
    world = publish(*(FakeDeb(name=f"p{n}", depends=f"p{(n * 7 + 1) % 40} | p{n // 2}") for n in range(40)))
    assert world.resolve("p3", "p17") == world.resolve("p3", "p17")


def test_each_index_is_read_once_however_many_layers_use_it(publish: Publish) -> None:
    world = publish(FakeDeb(name="a"), FakeDeb(name="b"))
    world.resolve_layers([layer("base", "a"), layer("top", "b")])
    assert len(world.sources.asked) == len(set(world.sources.asked)) == 2


def test_a_file_that_no_mirror_has_is_named(publish: Publish) -> None:
    world = publish(FakeDeb(name="a", depends="b, c"), FakeDeb(name="b"), FakeDeb(name="c"))
    for name in ("a", "c"):
        (world.archive.root / FakeDeb(name=name).path).unlink()
    with pytest.raises(MirrorError) as caught:
        world.resolve("a")
    assert caught.value.brief == "no mirror has the files of 2 of 3 packages that the indexes list (a, c)"
    assert caught.value.details == (
        "a 1.0: pool/main/a/a/a_1.0_all.deb (debian)\nc 1.0: pool/main/c/c/c_1.0_all.deb (debian)"
    )
    assert "snapshot" in str(caught.value.hint)


def test_a_file_of_another_size_is_none(publish: Publish) -> None:
    world = publish(FakeDeb(name="a"))
    with (world.archive.root / FakeDeb(name="a").path).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(MirrorError, match="1 of 1 packages"):
        world.resolve("a")


def test_a_file_that_is_no_package_is_named(publish: Publish) -> None:
    world = publish(FakeDeb(name="a"))
    place = world.archive.root / FakeDeb(name="a").path
    place.write_bytes(b"<html>" + b" " * (place.stat().st_size - 6))
    with pytest.raises(IntegrityError, match=r"a_1\.0_all\.deb: a mirror of debian serves a malformed Debian package"):
        world.resolve("a")


def test_suites_without_the_platform_are_left_out(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a", version="1")], architecture="arm64")
    world.archive.publish("updates", [FakeDeb(name="a", version="2")])
    updates = dataclasses.replace(UPDATES, architectures=("amd64",))
    arm64 = parse_platform("linux/arm64")
    base = layer("base", "a", suites=(STABLE, updates))
    (deb,) = resolve_debian([base], arm64, world.environment())
    assert deb.version == "1"
    with pytest.raises(ResolutionError, match="base: none of its suites has packages for arm64"):
        resolve_debian([layer("base", "a", suites=(updates,))], arm64, world.environment())


# --- staying as it was ---


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


def test_with_upgrade_the_named_package_moves_and_the_rest_stays(world: World) -> None:
    locked = moved(world)
    assert world.resolve("a", locked=locked, upgrade=[]) == locked
    assert versions(world.resolve("a", locked=locked, upgrade=["b"])) == {"a": "1", "b": "2", "c": "1"}
    # Of a's new alternatives the one that is locked is kept.
    assert versions(world.resolve("a", locked=locked, upgrade=["a"])) == {"a": "2", "b": "1", "c": "1"}


def test_what_the_moving_package_forces_moves_too(world: World) -> None:
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


def forge(world: World, package: FakeDeb, **fields: str) -> None:
    """Serve a package of the same name and size with other fields in its control file."""
    place = world.archive.root / package.path
    size = place.stat().st_size
    forged = dataclasses.replace(package, files={}, **fields).build()
    place.write_bytes(forged.ljust(size, b"\0"))
    assert place.stat().st_size == size


def test_what_a_mirror_forges_into_a_locked_package_chooses_nothing(world: World) -> None:
    files = {"usr/share/a": hashlib.sha256(b"").digest() * 40}
    old, new = (FakeDeb(name="a", version=version, depends="b", files=files) for version in "12")
    others = [FakeDeb(name="b"), FakeDeb(name="evil")]
    world.archive.publish("stable", [old, *others])
    locked = world.resolve("a")
    forge(world, old, depends="b, evil")
    # Still listed: the index that the archive signed says what it needs.
    assert world.resolve("a", locked=locked, upgrade=[]) == locked
    world.archive.publish("stable", [new, *others])
    # Superseded: the file itself is asked, and it is not the one that was locked.
    assert versions(world.resolve("a", locked=locked, upgrade=[])) == {"a": "2", "b": "1.0"}
    assert world.progress.notes == [f"a 1 may move: {old.path}: a mirror serves another file than the locked one"]


def test_many_superseded_packages_are_read_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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


# --- engines ---


def test_an_engine_is_the_named_packages_of_the_named_suites(world: World) -> None:
    world.archive.publish(
        "stable", [FakeDeb(name="runc", version="1", depends="libc6"), FakeDeb(name="docker", version="1")]
    )
    world.archive.publish("updates", [FakeDeb(name="runc", version="2"), FakeDeb(name="docker", version="2")])
    recipe = EngineRecipe(
        name="e",
        title="",
        packages=(("runc", "stable"), ("docker", "updates")),
        suites=(STABLE, UPDATES),
        inputs=(),
    )

    def resolve(recipe: EngineRecipe) -> tuple[DebArtifact, ...]:
        return resolve_engine(recipe, AMD64, world.environment())

    assert [(d.name, d.version, d.suite, d.layer, d.depends) for d in resolve(recipe)] == [
        ("docker", "2", "updates", "engine", ()),
        ("runc", "1", "stable", "engine", ()),
    ]
    with pytest.raises(RecipeError, match="package runc is to come from suite sid"):
        resolve(dataclasses.replace(recipe, packages=(("runc", "sid"),)))
    with pytest.raises(ResolutionError, match="engine e: its suites have no Debian package rnuc"):
        resolve(dataclasses.replace(recipe, packages=(("rnuc", "stable"),)))


def test_heads_are_asked_for_in_one_call(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    world = publish(FakeDeb(name="a", depends="b"), FakeDeb(name="b"))
    calls: list[tuple[list[str], int]] = []

    class Counting(FolderSources):
        def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
            calls.append((sorted(Path(file.path).name for file in wanted), length))
            return super().debian_heads(wanted, length)

    world.sources = Counting({"debian": [world.archive.root]})
    world.resolve("a")
    assert calls == [(["a_1.0_all.deb", "b_1.0_all.deb"], HEAD)]
