"""Reading and comparing versions."""

from __future__ import annotations

import pytest

from rtbuild.engine.versions import EngineVersions, parse_version, spell, too_old


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v0.13.1", (0, 13, 1)),
        ("26.1.5+dfsg1", (26, 1, 5)),
        ("github.com/docker/buildx 0.29.1+ds1 0.29.1+ds1-4", (0, 29, 1)),
        ("0.13", (0, 13, 0)),
        ("v0.0.0+unknown", None),
        ("", None),
        ("unknown", None),
    ],
)
def test_versions_are_read_in_every_spelling(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_versions_compare_as_numbers() -> None:
    assert too_old("v0.9.3", (0, 13, 0))
    assert not too_old("v0.13.0-rc1", (0, 13, 0))
    assert not too_old("v0.100.0", (0, 13, 0))


def test_an_unknown_version_is_not_too_old() -> None:
    assert not too_old("v0.0.0+unknown", (0, 13, 0))


def test_missing_parts_are_left_out() -> None:
    assert str(EngineVersions(docker="28.3.0", buildx="v0.25.0")) == "Docker 28.3.0, buildx v0.25.0"
    assert spell((0, 13, 0)) == "0.13"
    assert spell((0, 13, 2)) == "0.13.2"
