"""Which Python a lock brings."""

from __future__ import annotations

import pytest

from rtbuild.errors import LockError, ResolutionError
from rtbuild.lockfile.python import (
    python_source_version,
    series_of,
    standard_library,
    target_python_version,
    upstream_version,
)
from tests.fakes import locks, releases

RELEASE = releases.release(python_series="3.9")
DEBS = (
    locks.deb("libpython3.9-minimal", "3.9.2-1+b2"),
    locks.deb("libpython3.10-minimal", "3.10.1-1"),
    locks.deb("python3.9-minimal", "3.9.2-1+b2"),
)


def test_the_spellings_of_the_target_python() -> None:
    assert target_python_version(RELEASE, DEBS) == "3.9.2"
    assert series_of("3.9.2") == series_of("3.9") == RELEASE.python_series
    assert python_source_version(RELEASE, locks.lock(debs=DEBS)) == "3.9.2-1"


def test_a_rebuild_on_one_architecture_has_the_same_source() -> None:
    plain = locks.lock(debs=(locks.deb("python3.9-minimal", "3.9.2-1"),))
    assert python_source_version(RELEASE, plain) == python_source_version(RELEASE, locks.lock(debs=DEBS))


def test_which_packages_bring_the_standard_library() -> None:
    assert standard_library(DEBS) == "3.9"
    assert standard_library(DEBS[:2]) is None


def test_the_newest_of_two_standard_libraries_counts() -> None:
    assert standard_library((locks.deb("python3.11-minimal", "3.11.2-6"), *DEBS)) == "3.11"


def test_a_lock_without_the_python_of_the_release() -> None:
    hint = "add python3.9 to the packages of a Debian layer"
    with pytest.raises(ResolutionError) as unresolved:
        target_python_version(RELEASE, DEBS[1:])
    assert (unresolved.value.brief, unresolved.value.hint) == (
        "release 8.0.0: no Debian package brings Python 3.9",
        hint,
    )
    with pytest.raises(LockError) as missing:
        python_source_version(RELEASE, locks.lock(debs=DEBS[:2]))
    assert (missing.value.brief, missing.value.hint) == ("the lock of 8.0.0 has no package python3.9-minimal", hint)


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("3.9.2-1", "3.9.2"), ("1:2.36-9+deb12u4", "2.36"), ("5.1", "5.1"), ("2:1.0-rc1-3", "1.0-rc1")],
)
def test_upstream_versions(version: str, upstream: str) -> None:
    assert upstream_version(version) == upstream
