"""`rtbuild verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, platforms_of
from rtbuild.cli.options import FOLDER, builder_option, jobs_option, platforms_option, release_argument
from rtbuild.errors import NotReproducibleError

if TYPE_CHECKING:
    from rtbuild.platform import Platform


@click.command(short_help="Rebuild from nothing, and compare.")
@release_argument
@platforms_option()
@click.option("--against", type=FOLDER, metavar="DIR", help="Compare with the OCI image layout in DIR, not the lock.")
@click.option("--report", type=FOLDER, metavar="DIR", help="Write the report, and the layers that differ, into DIR.")
@jobs_option
@builder_option
@shared_options
@click.pass_obj
@click.pass_context
def verify(  # noqa: PLR0913 (one parameter for each option)
    context: click.Context,
    invocation: Invocation,
    release: str,
    platforms: tuple[Platform, ...],
    against: Path | None,
    report: Path | None,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Rebuild RELEASE from an empty store and without any cache, and compare it with its lock.

    If every digest is equal, the exit code is 0; otherwise the files that differ are named and it is 3.

    \b
    Examples:
      rtbuild verify 8.0 --report report/
      rtbuild verify 8.0 --against image/
    """
    from rtbuild.verbs.verify import describe_verification
    from rtbuild.verbs.verify import verify as verify_release

    if report is not None and len(platforms) > 1:
        raise click.UsageError("--report holds one report, so it goes with one platform")
    workspace, settings = invocation.workspace(), invocation.settings(jobs=jobs, builder=builder)
    with invocation.progress() as progress:
        reports = [
            verify_release(
                workspace,
                release,
                platform=platform,
                settings=settings,
                against=against,
                report=report,
                progress=progress,
            )
            for platform in platforms_of(workspace, release, platforms)
        ]
    invocation.answer_each(
        "verifications",
        [as_document(verified) for verified in reports],
        [describe_verification(verified) for verified in reports],
    )
    if not all(verified.reproducible for verified in reports):
        context.exit(NotReproducibleError.exit_code)
