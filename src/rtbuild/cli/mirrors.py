"""`rtbuild mirrors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import ReleaseName
from rtbuild.cli.text import table

if TYPE_CHECKING:
    from rtbuild.verbs.mirrors import MirrorReport


@click.command(short_help="Show where files would come from.")
@click.argument("release", type=ReleaseName(), required=False)
@shared_options
@click.pass_obj
def mirrors(invocation: Invocation, release: str | None) -> None:
    """Show every mirror that was found, what names it, and which suites of RELEASE (or of all recipes) it serves.

    \b
    Example:
      rtbuild mirrors
    """
    from rtbuild.verbs.mirrors import mirrors as describe_mirrors

    with invocation.progress() as progress:
        reports = describe_mirrors(invocation.workspace(), release, settings=invocation.settings(), progress=progress)
    rows = [
        (report.kind, report.address, _origin(report), ", ".join(report.serves) or "-", report.problem or "")
        for report in reports
    ]
    text = table(("for", "mirror", "named by", "serves", "problem"), rows)
    invocation.answer({"mirrors": as_document(reports)}, text)


def _origin(report: MirrorReport) -> str:
    return f"{report.origin} (proxy: {report.proxy})" if report.proxy else report.origin
