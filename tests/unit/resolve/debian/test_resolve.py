"""What a package in the lock says, what is requested from mirrors, and private engines."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, MirrorError, RecipeError, ResolutionError
from rtbuild.formats.deb import HEAD
from rtbuild.lockfile.model import DebArtifact
from rtbuild.mirror.sources import Wanted
from rtbuild.platform import parse_platform
from rtbuild.recipe.model import EngineRecipe, Suite
from rtbuild.resolve.debian.resolve import resolve_debian, resolve_engine
from tests.fakes.debian_archive import FakeDeb, FolderSources
from tests.unit.resolve.debian.conftest import AMD64, STABLE, World, layer

Publish = Callable[..., World]
UPDATES = Suite(archive="debian", suite="updates")


def test_the_fields_of_an_artifact(publish: Publish) -> None:
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


def test_a_file_of_another_size_does_not_count(publish: Publish) -> None:
    world = publish(FakeDeb(name="a"))
    with (world.archive.root / FakeDeb(name="a").path).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(MirrorError, match="1 of 1 packages"):
        world.resolve("a")


def test_a_malformed_package_file_is_named(publish: Publish) -> None:
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
    (deb,) = resolve_debian([base], arm64, world.environment()).debs
    assert deb.version == "1"
    with pytest.raises(ResolutionError, match="base: none of its suites has packages for arm64"):
        resolve_debian([layer("base", "a", suites=(updates,))], arm64, world.environment())


def test_an_engine_has_the_named_packages_of_the_named_suites(world: World) -> None:
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
        return resolve_engine(recipe, AMD64, world.environment()).debs

    assert [(d.name, d.version, d.suite, d.layer, d.depends) for d in resolve(recipe)] == [
        ("docker", "2", "updates", "engine", ()),
        ("runc", "1", "stable", "engine", ()),
    ]
    with pytest.raises(RecipeError, match="package runc is to come from suite sid"):
        resolve(dataclasses.replace(recipe, packages=(("runc", "sid"),)))
    with pytest.raises(ResolutionError, match="engine e: its suites have no Debian package rnuc"):
        resolve(dataclasses.replace(recipe, packages=(("rnuc", "stable"),)))


def test_heads_are_requested_at_once(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    world = publish(FakeDeb(name="a", depends="b"), FakeDeb(name="b"))
    calls: list[tuple[list[str], int]] = []

    class Counting(FolderSources):
        def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
            calls.append((sorted(Path(file.path).name for file in wanted), length))
            return super().debian_heads(wanted, length)

    world.sources = Counting({"debian": [world.archive.root]})
    world.resolve("a")
    assert calls == [(["a_1.0_all.deb", "b_1.0_all.deb"], HEAD)]
