"""What lockfiles say, as values."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.digest import Sha256
from rtbuild.lockfile.model import LockedPatch
from tests.fakes import locks

WHEEL = locks.wheel("demo", "1.0")


def test_the_published_version_is_the_one_without_patches() -> None:
    patch = LockedPatch(id="one", sha256=Sha256("1" * 64))
    assert replace(WHEEL, version="1.0+astro.1", patches=(patch,)).published == "1.0"
    assert replace(WHEEL, version="1.0+cpu").published == "1.0+cpu"


def test_sdists_and_wheels_differ_by_their_names() -> None:
    assert WHEEL.is_wheel
    assert not replace(WHEEL, filename="demo-1.0.tar.gz").is_wheel


def test_mirrors_serve_everything_but_local_packages() -> None:
    local, tool = replace(locks.wheel("gate"), local=True), locks.wheel("setuptools", layer="")
    lock = locks.lock(pythons=(WHEEL, local), build_pythons=(tool,))
    assert lock.remote == (*lock.debs, WHEEL, tool)
