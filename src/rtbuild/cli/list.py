"""`rtbuild list`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.text import table

if TYPE_CHECKING:
    from rtbuild.platform import Platform
    from rtbuild.recipe.model import Support
    from rtbuild.verbs.list import ListedRelease

_HEAD = ("release", "airflow", "python", "os", "platforms", "support", "locked", "built")


@click.command("list", short_help="List the releases that have a recipe.")
@shared_options
@click.pass_obj
def list_releases(invocation: Invocation) -> None:
    """List the releases that have a recipe, and whether they are locked and built here.

    \b
    Example:
      rtbuild list --json | jq -r '.releases[].version'
    """
    from rtbuild.verbs.list import list_releases as releases_of

    releases = releases_of(invocation.workspace(), settings=invocation.settings())
    rows = [release_row(listed) for listed in releases]
    invocation.answer({"releases": [release_document(listed) for listed in releases]}, table(_HEAD, rows))


def release_document(listed: ListedRelease) -> dict[str, Any]:
    """Return the JSON form of one release."""
    release = listed.release
    return {
        "version": release.version,
        "airflow": release.airflow,
        "python": release.python_series,
        "os": release.os,
        "released": release.released,
        "platforms": as_document(release.platforms),
        "support": as_document(release.support),
        "locked": as_document(listed.locked),
        "built": as_document(listed.built),
    }


def release_row(listed: ListedRelease) -> tuple[str, ...]:
    """Return one release as a row of the table."""
    release = listed.release
    return (
        release.version,
        release.airflow or "-",
        release.python_series or "-",
        release.os,
        _platforms_text(release.platforms),
        _support_text(release.support),
        _platforms_text(listed.locked) or "-",
        _platforms_text(listed.built) or "-",
    )


def _platforms_text(platforms: Iterable[Platform]) -> str:
    return " ".join(platform.name.removeprefix("linux/") for platform in platforms)


def _support_text(support: Support | None) -> str:
    if support is None:
        return "-"
    return f"{support.status} until {support.until}" if support.until else support.status
