"""`rtbuild fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, platforms_of
from rtbuild.cli.options import platforms_option, release_argument
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rtbuild.platform import Platform


@click.command(short_help="Fetch what the lock names and the store lacks.")
@release_argument
@platforms_option()
@click.option("--engine", is_flag=True, help="Fetch the packages of a private engine in any case.")
@shared_options
@click.pass_obj
def fetch(invocation: Invocation, release: str, platforms: tuple[Platform, ...], engine: bool) -> None:
    """Fetch every file that RELEASE's lock names and the store lacks, so that a build needs no network.

    If this machine has no usable Docker, the packages of a private engine are fetched too; for another machine without
    Docker, ask for them with --engine. Each file may come from any mirror; its size and sha256 are checked while it
    arrives. An interrupted run continues where it stopped.

    \b
    Examples:
      rtbuild fetch 8.0
      rtbuild fetch 8.0 --engine --store /media/usb/store
    """
    from rtbuild.verbs.fetch import fetch as fetch_release

    workspace, settings = invocation.workspace(), invocation.settings()
    version = workspace.resolve(release)
    documents, texts = [], []
    with invocation.progress() as progress:
        for platform in platforms_of(workspace, version, platforms):
            report = fetch_release(
                workspace, version, platform=platform, settings=settings, engine=engine, progress=progress
            )
            documents.append({**as_document(report), "store": str(settings.store)})
            texts.append(
                f"{version} for {platform}: fetched {report.fetched} files ({size_text(report.bytes)}), "
                f"{report.present} already in {settings.store}"
            )
    invocation.answer_each("fetched", documents, texts)
