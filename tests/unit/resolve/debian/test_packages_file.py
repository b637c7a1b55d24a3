"""Packages indexes: which bytes are accepted, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, MirrorError, ResolutionError
from rtbuild.resolve.debian.packages_file import PackagesIndex, read_index
from rtbuild.resolve.debian.release_file import read_release_file
from tests.fakes.debian_archive import DebianArchive, FakeDeb, FolderSources
from tests.unit.resolve.debian.conftest import AMD64, STABLE, World

XZ = "main/binary-amd64/Packages.xz"


def index_of(world: World, component: str = "main") -> PackagesIndex:
    release = read_release_file(STABLE, world.sources, keyring=world.keyring, progress=world.progress)
    return read_index(release, component, AMD64, world.sources, progress=world.progress)


def parse(text: str) -> PackagesIndex:
    return PackagesIndex(text.encode(), STABLE, priority=500, where="dists/stable/main/binary-amd64/Packages")


def damage(world: World, *, root: Path | None = None) -> None:
    """Every form of the index gets other bytes of the same length."""
    for place in ((root or world.archive.root) / "dists").rglob("*"):
        if place.is_file() and place.name != "InRelease":
            place.write_bytes(bytes(255 - byte for byte in place.read_bytes()))


@pytest.mark.parametrize("compressions", [("",), (".gz",), (".xz",), ("", ".gz", ".xz")])
@pytest.mark.parametrize("by_hash", [True, False])
def test_an_index_is_read_in_any_compression(world: World, compressions: tuple[str, ...], by_hash: bool) -> None:
    deb = FakeDeb(name="hello", version="1:2.0-1", depends="a | b (>= 1)", pre_depends="c", provides="greeter (= 2)")
    world.archive.publish(
        "stable", [deb, FakeDeb(name="e", essential=True)], compressions=compressions, by_hash=by_hash
    )
    index = index_of(world)
    (package,) = index.versions("hello")
    assert str(package) == "hello 1:2.0-1"
    assert [[str(r) for r in group] for group in package.depends] == [["c"], ["a", "b (>= 1)"]]
    assert package.path == deb.path
    assert package.size == len(deb.build())
    assert index.providers("greeter") == (package,)
    assert index.essential == {"e"}
    assert index.names == {"hello", "e"}
    asked = world.sources.asked[-1]
    assert ("by-hash/SHA256/" in asked) == by_hash
    assert index.versions("greeter") == ()


def test_the_plain_path_is_used_if_by_hash_is_missing(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    for place in world.archive.root.rglob("by-hash/SHA256/*"):
        place.unlink()
    assert index_of(world).names == {"a"}


def test_other_bytes_are_rejected_with_mirror_and_file(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    damage(world)
    with pytest.raises(IntegrityError) as caught:
        index_of(world)
    assert f"dists/stable/{XZ}: every mirror of the archive debian serves other bytes" in caught.value.brief
    lines = str(caught.value.details).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["debian", "debian"]
    assert lines[1].startswith(f"debian: dists/stable/{XZ}: sha256 ")


def test_a_wrong_size_is_reported(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")], by_hash=False)
    place = world.archive.root / "dists/stable" / XZ
    size = place.stat().st_size
    place.write_bytes(place.read_bytes()[:-7])
    with pytest.raises(IntegrityError) as caught:
        index_of(world)
    assert f"{size - 7} bytes instead of {size}" in str(caught.value.details)


def test_another_mirror_is_tried_first(world: World, tmp_path: Path) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    second = tmp_path / "second"
    DebianArchive(second, key=world.archive.key)
    for place in world.archive.root.rglob("*"):
        if place.is_file():
            copy = second / place.relative_to(world.archive.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(place.read_bytes())
    damage(world)
    world.sources = FolderSources({"debian": [world.archive.root, second]})
    assert index_of(world).names == {"a"}
    assert len(world.progress.notes) == 1


def test_an_index_that_no_mirror_serves(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    for place in world.archive.root.rglob("Packages*"):
        place.unlink()
    for place in world.archive.root.rglob("by-hash/SHA256/*"):
        place.unlink()
    with pytest.raises(MirrorError, match=f"dists/stable/{XZ}: no mirror of the archive debian serves it"):
        index_of(world)


def test_a_component_that_the_suite_lacks(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    with pytest.raises(ResolutionError) as caught:
        index_of(world, "contrib")
    assert caught.value.brief == "suite stable of the archive debian has no component contrib for amd64"
    assert caught.value.hint == "use a component that it has: main"


def test_a_malformed_index(world: World) -> None:
    world.archive.publish("stable", [])
    place = world.archive.root / "dists/stable/main/binary-amd64/Packages"
    signed = (world.archive.root / "dists/stable/InRelease").read_bytes()
    assert place.exists()
    broken = DebianArchive(world.archive.root, key=world.archive.key)
    broken._put = lambda deb: "Version: 1"  # type: ignore[method-assign]
    broken.publish("stable", [FakeDeb(name="a")])
    assert (world.archive.root / "dists/stable/InRelease").read_bytes() != signed
    with pytest.raises(IntegrityError, match="does not begin with the field Package"):
        index_of(world)


def test_folded_fields_and_the_last_stanza_are_read_whole() -> None:
    index = parse("Package: a\nProvides: x,\n y (= 1),\n\tz\nVersion: 1\n\n\nPackage: b\nVersion: 1\nEssential: yes")
    assert index._providers.keys() == {"x", "y", "z"}
    assert index.essential == {"b"}
    assert index.names == {"a", "b"}


@pytest.mark.parametrize(
    ("stanza", "problem"),
    [
        ("Package: a\nVersion: 1\n", "its stanza has no field Architecture"),
        (
            "Package: a\nVersion: 1\nArchitecture: all\nFilename: /etc/passwd\nSize: 1\nSHA256: " + "0" * 64,
            "outside the archive",
        ),
        (
            "Package: a\nVersion: 1\nArchitecture: all\nFilename: a/../../b\nSize: 1\nSHA256: " + "0" * 64,
            "outside the archive",
        ),
        (
            "Package: a\nVersion: 1\nArchitecture: all\nFilename: a\nSize: x\nSHA256: " + "0" * 64,
            "its Size 'x' is",
        ),
        ("Package: a\nVersion: 1\nArchitecture: all\nFilename: a\nSize: 1\nSHA256: 0", "not a sha256"),
        ("Package: a\nVersion: 1\nnonsense\n", "'nonsense' is not a field"),
    ],
)
def test_a_malformed_stanza_is_reported_with_file_and_package(stanza: str, problem: str) -> None:
    index = parse(stanza)
    with pytest.raises(IntegrityError, match=problem) as caught:
        index.versions("a")
    assert caught.value.brief.startswith("dists/stable/main/binary-amd64/Packages: package a: ")


def test_names_are_sorted_by_their_first_mention() -> None:
    index = parse(
        "Package: a\nSuggests: zz-top, z\nDepends: y\n\n"
        "Package: b\nDescription: speaks of w\n w\nDepends: x:any, v,\n u\n\n"
        "Package: w\n\nPackage: x\n\nPackage: z\n"
    )
    mentions = {name: index.first_mention(name) for name in "abuvwxyz"}
    assert None not in mentions.values()
    assert sorted(mentions, key=lambda name: mentions[name] or (0, 0, 0)) == ["a", "y", "z", "b", "v", "u", "w", "x"]
    assert index.first_mention("nowhere") is None
