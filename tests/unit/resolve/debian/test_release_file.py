"""What is believed of an InRelease, and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rtbuild.digest import Sha256, sha256_file
from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.lockfile.model import LockedSuite
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.release_file import ReleaseFile, read_release_file
from tests.fakes.debian_archive import DebianArchive, FakeDeb, FolderSources, SigningKey
from tests.unit.resolve.debian.conftest import STABLE, World

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def read(world: World, suite: Suite = STABLE, *, trusted: Sequence[LockedSuite] = ()) -> ReleaseFile:
    return read_release_file(
        suite, world.sources, keyring=world.keyring, progress=world.progress, trusted=trusted, now=NOW
    )


def in_release(world: World) -> Path:
    return world.archive.root / "dists/stable/InRelease"


def test_the_fields_of_a_release_file(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")], date=NOW)
    release = read(world)
    packages = world.archive.root / "dists/stable/main/binary-amd64/Packages"
    assert release.mirror == "debian"
    assert release.date == NOW
    assert release.by_hash
    assert release.priority == 500
    assert release.files["main/binary-amd64/Packages"].size == packages.stat().st_size
    assert sorted(release.files) == [f"main/binary-amd64/Packages{s}" for s in ("", ".gz", ".xz")]


@pytest.mark.parametrize("name", ["bullseye", "oldoldstable"])
def test_a_suite_may_be_called_by_either_of_its_names(world: World, name: str) -> None:
    world.archive.publish(name, [], codename="bullseye", says_suite="oldoldstable")
    assert read(world, dataclasses.replace(STABLE, suite=name)).suite.suite == name


def test_the_file_of_another_suite_is_rejected(world: World) -> None:
    world.archive.publish("stable", [], codename="sid", says_suite="unstable")
    with pytest.raises(IntegrityError) as caught:
        read(world)
    assert caught.value.details == "debian: it is the InRelease of sid / unstable, not stable"


def test_a_changed_byte_is_detected(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    place = in_release(world)
    place.write_bytes(place.read_bytes().replace(b"Origin: Test", b"Origin: Tesx"))
    with pytest.raises(IntegrityError) as caught:
        read(world)
    assert "dists/stable/InRelease" in caught.value.brief
    assert "its signature does not verify with the key of the test" in str(caught.value.details)
    assert "\n" not in str(caught.value.details)  # no stack of the library's
    assert "another mirror" in str(caught.value.hint)


def test_the_signature_of_an_unknown_key_is_rejected(world: World) -> None:
    world.archive.publish("stable", [], signer=SigningKey())
    with pytest.raises(IntegrityError, match="no mirror of the archive debian serves one that can be trusted"):
        read(world)


def test_text_outside_the_signature_is_ignored(world: World) -> None:
    world.archive.publish("stable", [FakeDeb(name="a")])
    place = in_release(world)
    place.write_bytes(b"Suite: evil\n\n" + place.read_bytes() + b"\nSuite: evil\nSHA256:\n")
    assert read(world).files.keys() == {f"main/binary-amd64/Packages{s}" for s in ("", ".gz", ".xz")}


@pytest.mark.parametrize("content", [b"", b"<!doctype html><title>Log in</title>", b"Suite: stable\n", b"\0\xff" * 500])
def test_an_unsigned_file_is_rejected(world: World, content: bytes) -> None:
    world.archive.publish("stable", [])
    in_release(world).write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        read(world)
    assert str(caught.value.details).startswith("debian: it")


def test_the_next_mirror_is_tried(world: World, tmp_path: Path) -> None:
    good = DebianArchive(tmp_path / "good", key=world.archive.key)
    good.publish("stable", [])
    world.archive.publish("stable", [], signer=SigningKey())
    world.sources = FolderSources({"debian": [world.archive.root, good.root]})
    assert read(world).mirror == "good"
    assert len(world.progress.notes) == 1
    assert "rejected: debian: dists/stable/InRelease" in world.progress.notes[0]


def test_a_suite_that_no_mirror_has(world: World) -> None:
    with pytest.raises(MirrorError) as caught:
        read(world)
    assert caught.value.brief == "no mirror serves suite stable of the archive debian"
    assert "rtbuild mirrors" in str(caught.value.hint)


def test_an_expired_suite_needs_the_recipes_permission(world: World) -> None:
    world.archive.publish("stable", [], date=NOW - timedelta(days=9), valid_until=NOW - timedelta(days=2))
    with pytest.raises(IntegrityError) as caught:
        read(world)
    assert caught.value.details == "debian: it was valid until 2024-05-30 00:00 UTC"
    assert "check_valid_until = false" in str(caught.value.hint)
    assert read(world, dataclasses.replace(STABLE, check_valid_until=False)).priority == 500


def test_a_snapshot_must_have_been_valid_at_its_time(world: World) -> None:
    world.archive.publish("stable", [], valid_until=NOW - timedelta(days=365))
    assert read(world, dataclasses.replace(STABLE, snapshot="20230501T000000Z")).suite.snapshot
    with pytest.raises(IntegrityError):
        read(world, dataclasses.replace(STABLE, snapshot="20240501T000000Z"))


def test_the_state_that_a_lock_records(world: World) -> None:
    until = NOW + timedelta(days=7)
    world.archive.publish("stable", [], date=NOW, valid_until=until)
    assert read(world).state == LockedSuite(
        archive="debian", suite="stable", date=NOW, valid_until=until, sha256=sha256_file(in_release(world))
    )


def test_an_older_state_than_the_locks_is_rejected(world: World) -> None:
    world.archive.publish("stable", [], date=NOW)
    trusted = read(world).state
    assert read(world, trusted=[trusted]).date == NOW
    world.archive.publish("stable", [], date=NOW - timedelta(seconds=1))
    with pytest.raises(IntegrityError) as caught:
        read(world, trusted=[trusted])
    assert caught.value.details == (
        "debian: it is from 2024-05-31 23:59 UTC, but the lock was made with one from 2024-06-01 00:00 UTC"
    )
    assert "--allow-older-archive" in str(caught.value.hint)
    assert read(world).date < NOW
    others = [dataclasses.replace(trusted, suite="sid"), dataclasses.replace(trusted, archive="debian-security")]
    assert read(world, trusted=others).date < NOW


def test_a_mirror_that_lags_behind_is_passed_over(world: World, tmp_path: Path) -> None:
    good = DebianArchive(tmp_path / "good", key=world.archive.key)
    good.publish("stable", [], date=NOW)
    world.archive.publish("stable", [], date=NOW - timedelta(days=1))
    world.sources = FolderSources({"debian": [world.archive.root, good.root]})
    trusted = LockedSuite(archive="debian", suite="stable", date=NOW, sha256=Sha256("0" * 64))
    assert read(world, trusted=[trusted]).mirror == "good"
    assert world.progress.notes[0].startswith("rejected: debian: dists/stable/InRelease: it is from 2024-05-31")


def test_a_recipe_may_ask_for_an_earlier_snapshot(world: World) -> None:
    world.archive.publish("stable", [], date=datetime(2023, 4, 30, tzinfo=UTC))
    trusted = LockedSuite(archive="debian", suite="stable", date=NOW, sha256=Sha256("0" * 64))
    earlier = dataclasses.replace(STABLE, snapshot="20230501T000000Z")
    assert read(world, earlier, trusted=[trusted]).state.snapshot == "20230501T000000Z"
    with pytest.raises(IntegrityError):
        read(world, earlier, trusted=[dataclasses.replace(trusted, snapshot="20230501T000000Z")])
    with pytest.raises(IntegrityError):
        read(world, trusted=[dataclasses.replace(trusted, snapshot="20230501T000000Z")])


def test_a_date_in_the_future_is_rejected(world: World) -> None:
    world.archive.publish("stable", [], date=NOW + timedelta(minutes=5))
    assert read(world).date > NOW
    world.archive.publish("stable", [], date=NOW + timedelta(minutes=6))
    for suite in (STABLE, dataclasses.replace(STABLE, check_valid_until=False)):
        with pytest.raises(IntegrityError) as caught:
            read(world, suite)
        assert str(caught.value.details).startswith("debian: it is dated in the future: 2024-06-01 00:06 UTC")
        assert "set the clock" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("fields", "priority"),
    [({"NotAutomatic": "yes"}, 1), ({"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"}, 100)],
)
def test_backports_rank_as_apt_ranks_them(world: World, fields: dict[str, str], priority: int) -> None:
    world.archive.publish("stable", [], fields=fields)
    assert read(world).priority == priority


@pytest.mark.parametrize(
    ("signed", "problem"),
    [
        (b"Suite: stable\nDate: Sat, 01 Jun 2024 00:00:00 UTC\n", "it lists no SHA256 digests"),
        (b"Suite: stable\nDate: soon\nSHA256:\n", "its field Date is missing or not a date"),
        (b"Suite: stable\nSHA256:\n", "its field Date is missing or not a date"),
        (b"Suite: stable\nDate: Sat, 01 Jun 2024 00:00:00 UTC\nSHA256:\n abc 1 x\n", "not a sha256"),
        (b"Suite: stable\nDate: Sat, 01 Jun 2024 00:00:00 UTC\nSHA256:\n nonsense\n", "malformed entry 'nonsense'"),
        (b"Suite: stable\nnonsense\n", "'nonsense' is not a field"),
        (b"Suite: st\xffable\n", "its signed text is not UTF-8"),
    ],
)
def test_malformed_content_is_reported(world: World, signed: bytes, problem: str) -> None:
    world.archive.publish("stable", [])
    in_release(world).write_bytes(world.archive.key.sign(signed))
    with pytest.raises(IntegrityError) as caught:
        read(world)
    assert problem in str(caught.value.details)
