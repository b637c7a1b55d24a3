"""A release in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import ImageSettings, Release, Support

RELEASE = Release(
    version="8.0.0",
    airflow="2.6.0",
    python_series="3.9",
    os="Debian 11",
    released="2023-04-30",
    as_of=datetime(2023, 5, 2, tzinfo=UTC),
    platforms=(PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]),
    support=Support(status="stable"),
    layers=(),
    image=ImageSettings(),
    requirements=(),
    constraints=(),
    build_constraints=(),
    inputs=(),
)


def release(**changes: object) -> Release:
    """Return a release without layers and packages, with `changes`."""
    return replace(RELEASE, **changes)  # type: ignore[arg-type]
