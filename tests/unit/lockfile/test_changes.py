"""What changed from one lock to another."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.digest import Sha256
from rtbuild.lockfile.changes import PackageChange, compare_locks
from rtbuild.lockfile.model import Lock, LockedPatch
from tests.fakes import locks

ONE, TWO = LockedPatch(id="one", sha256=Sha256("1" * 64)), LockedPatch(id="two", sha256=Sha256("2" * 64))
DEMO = locks.wheel("demo")


def lines(before: Lock | None, after: Lock) -> list[str]:
    return [str(change) for change in compare_locks(before, after)]


def test_equal_locks() -> None:
    assert compare_locks(locks.lock(), locks.lock()) == ()


def test_without_an_older_lock_every_package_was_added() -> None:
    assert lines(None, locks.lock()) == [
        "+ apt 1.0-1 (deb)",
        "+ libc6 2.31-13+deb11u1 (deb)",
        "+ apache-airflow 2.6.0 (python)",
        "+ pip 1.0 (python)",
    ]


def test_added_removed_and_changed_packages() -> None:
    before = locks.lock(debs=(locks.deb("apt"), locks.deb("bash")), pythons=(DEMO,))
    newer = replace(locks.deb("bash", "2.0-1"), sha256=Sha256("c" * 64))
    after = locks.lock(debs=(newer, locks.deb("zsh")), pythons=(replace(DEMO, sha256=Sha256("f" * 64)),))
    assert lines(before, after) == [
        "- apt 1.0-1 (deb)",
        "~ bash 1.0-1 -> 2.0-1 (deb)",
        "+ zsh 1.0-1 (deb)",
        "~ demo 1.0: another file (python)",
    ]
    assert compare_locks(before, after)[0] == PackageChange(kind="deb", name="apt", before="1.0-1", after=None)


def test_patches() -> None:
    plain = locks.lock(pythons=(DEMO,))
    one = locks.lock(pythons=(replace(DEMO, version="1.0+astro.1", patches=(ONE,)),))
    two = locks.lock(pythons=(replace(DEMO, version="1.0+astro.1", patches=(TWO,)),))
    assert lines(one, one) == []
    assert lines(plain, one) == ["~ demo 1.0 -> 1.0+astro.1 (python)"]
    assert lines(one, plain) == ["~ demo 1.0+astro.1 -> 1.0 (python)"]
    assert lines(one, two) == ["~ demo 1.0+astro.1: other patches (python)"]
    assert [change.patched for change in compare_locks(one, two)] == [True]


def test_build_packages_of_two_sdists_are_distinct() -> None:
    before = locks.lock(build_pythons=(locks.wheel("setuptools", "67", layer="a"),))
    after = locks.lock(build_pythons=(*before.build_pythons, locks.wheel("setuptools", "68", layer="b")))
    assert lines(before, after) == ["+ setuptools 68 (python-build)"]
