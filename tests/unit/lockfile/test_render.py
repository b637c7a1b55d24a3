"""The text of lockfiles: sorted, one table for each artifact, the same bytes every time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from rtbuild.digest import Sha256
from rtbuild.lockfile.model import EngineLock, LockedPatch
from rtbuild.lockfile.render import render_engine_lock, render_lock
from rtbuild.platform import PLATFORMS
from tests.fakes import locks


def test_the_order_of_artifacts_does_not_show() -> None:
    lock = locks.lock()
    text = render_lock(lock)
    assert text.startswith("# Made by: rtbuild lock 8.0.0 --platform linux/amd64\nversion = 2\n")
    assert render_lock(replace(lock, debs=lock.debs[::-1], pythons=lock.pythons[::-1])) == text
    assert text.index('name = "apt"') < text.index('name = "libc6"')
    assert text.count("[[deb]]") == 2
    assert text.count("[[python]]") == 2


def test_defaults_are_not_written() -> None:
    text = render_lock(locks.lock())
    assert not any(field in text for field in ("filename", "essential", "local", "patches", "python-build"))


def test_the_state_of_a_suite() -> None:
    expiring = replace(
        locks.suite("sid"), snapshot="20230501T000000Z", valid_until=datetime(2023, 5, 6, 9, 8, 7, tzinfo=UTC)
    )
    text = render_lock(locks.lock(suites=(expiring, locks.suite())))
    plain, full = text.partition("[[deb]]")[0].split("[[suite]]\n")[1:]
    assert plain.strip().splitlines() == [
        'archive = "debian"',
        'suite = "bullseye"',
        "date = 2023-04-29T09:08:07Z",
        f'sha256 = "{"d" * 64}"',
    ]
    assert full.strip().splitlines() == [
        'archive = "debian"',
        'suite = "sid"',
        'snapshot = "20230501T000000Z"',
        "date = 2023-04-29T09:08:07Z",
        "valid_until = 2023-05-06T09:08:07Z",
        f'sha256 = "{"d" * 64}"',
    ]


def test_a_source_package_is_written_if_it_differs() -> None:
    rebuilt = replace(locks.deb("libgcc-s1", "10.2-6+b1"), source="gcc-10", source_version="10.2-6")
    text = render_lock(locks.lock(debs=(rebuilt, locks.deb("zsh"))))
    assert text.count("source") == 3  # source_date_epoch, and the two fields
    assert 'version = "10.2-6+b1"\nsource = "gcc-10"\nsource_version = "10.2-6"\n' in text


def test_a_name_on_a_line() -> None:
    text = render_lock(locks.lock(debs=(locks.deb("apt", depends=("libc6", "bash")),)))
    assert 'depends = [\n    "bash",\n    "libc6",\n]\n' in text


def test_patches_keep_their_order() -> None:
    patches = tuple(LockedPatch(id=name, sha256=Sha256("d" * 64)) for name in ("two", "one"))
    text = render_lock(locks.lock(pythons=(replace(locks.wheel("demo"), version="1.0+astro.2", patches=patches),)))
    assert f'[[python.patches]]\nid = "two"\nsha256 = "{"d" * 64}"\n' in text
    assert text.index('"two"') < text.index('"one"')


def test_a_local_package_names_its_folder_and_its_file() -> None:
    local = replace(locks.wheel("gate"), filename="gate-1.0.tar", path="recipes/layers/gate/package", local=True)
    text = render_lock(locks.lock(pythons=(local,)))
    assert 'path = "recipes/layers/gate/package"\nfilename = "gate-1.0.tar"\n' in text
    assert text.count("local = true\n") == 1


def test_an_engine_lock() -> None:
    lock = EngineLock(
        engine="testing", platform=PLATFORMS["linux/arm64"], inputs=(), debs=(locks.deb("runc", layer=""),)
    )
    text = render_engine_lock(lock)
    assert text.startswith("# Made by: rtbuild engine lock --name testing --platform linux/arm64\nversion = 2\n")
    assert "layer" not in text
