"""Checks of the names and versions in recipes and lockfiles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from packaging.specifiers import Specifier

from rtbuild.recipe import names

GOOD: list[tuple[Callable[[str], str], list[str]]] = [
    (names.release_version, ["8.0.0", "10.20.30"]),
    (names.python_series, ["3.9", "3.13"]),
    (names.month, ["2023-11"]),
    (names.plain_name, ["base-os", "a", "debian-security"]),
    (names.debian_name, ["libstdc++6", "python3.9-minimal"]),
    (names.debian_request, ["tini", "bash=5.1-2", "apt=1:2.0~rc1"]),
    (names.debian_version, ["1:2.36-9+deb12u4", "5.1"]),
    (names.suite_name, ["bullseye", "bullseye/updates", "trixie-security"]),
    (names.snapshot_moment, ["20230501T000000Z"]),
    (names.pep440_version, ["1.0", "1.0rc1+local"]),
]
BAD: list[tuple[Callable[[str], object], list[str]]] = [
    (names.release_version, ["8.0", "8.0.0.0", "08.0.0", "8.0.0\n", "v8.0.0"]),
    (names.python_series, ["3", "3.9.2", "3.09"]),
    (names.month, ["2023-13", "2023", "23-11"]),
    (names.plain_name, ["", "Base", "a--b", "-a", "a_b"]),
    (names.debian_name, ["a", "Bash", "bash="]),
    (names.debian_request, ["tini=", "=1", "bash=one"]),
    (names.debian_version, ["", "banana", "1 0"]),
    (names.suite_name, ["../x", "", "a//b"]),
    (names.snapshot_moment, ["20231301T000000Z", "2023-05-01", "20230501"]),
    (names.pep440_version, ["one", ""]),
    (names.requirement, ["a b", "a @ file:///srv/a.whl"]),
    (names.constraint, ["a", "a[x]==1"]),
]


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in GOOD for text in texts])
def test_good_names(check: Callable[[str], str], text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, texts in BAD for text in texts])
def test_bad_names(check: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check(text)


def test_releases_are_ordered_by_number() -> None:
    assert sorted(["10.0.0", "8.10.0", "8.9.0"], key=names.release_order) == ["8.9.0", "8.10.0", "10.0.0"]


@pytest.mark.parametrize(("text", "pin"), [("==1.0", True), ("==1.*", False), (">=1.0", False), ("===1.0", False)])
def test_pins(text: str, pin: bool) -> None:
    assert names.is_pin(Specifier(text)) is pin


def test_normalised_names() -> None:
    assert names.normalized("Gate_.Keeper") == "gate-keeper"
