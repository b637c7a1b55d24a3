"""`rtbuild check`, and `rtbuild test`, its former name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import ReleaseName, builder_option, jobs_option, platform_option
from rtbuild.errors import UsageError

if TYPE_CHECKING:
    from rtbuild.platform import Platform


_RELEASE = re.compile(r"\d+(?:\.\d+)*", re.ASCII)
"""What names a release or a series. Few images are called so, and `--image` takes those."""


@click.command(short_help="Check what an image promises.")
@click.argument("subject", type=ReleaseName(), required=False, metavar="RELEASE|IMAGE")
@click.option("--image", metavar="REF", help="Check an image in Docker, even if its name looks like a release's.")
@platform_option
@click.option("--only", multiple=True, metavar="CHECK", help="Run this check only; repeatable.")
@click.option(
    "--grace",
    type=click.FloatRange(min=1),
    default=10,
    metavar="SECONDS",
    help="Grace period in seconds for stopping Airflow  [default: 10, as docker stop]",
)
@jobs_option
@builder_option
@shared_options
@click.pass_obj
@click.pass_context
def check(  # noqa: PLR0913 (one parameter for each option)
    context: click.Context,
    invocation: Invocation,
    subject: str | None,
    image: str | None,
    platform: Platform | None,
    only: tuple[str, ...],
    grace: float,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Check in real containers what an image promises.

    For a runtime image: user, folders, entrypoint, labels, pip, signals. For any other: that it is as its recipes say,
    and that dpkg, apt, pip and Python find it in order.

    RELEASE is built and loaded if necessary. IMAGE is the name or ID of an image in Docker, such as one that you built
    from a release. Any Docker will do, whatever its version and its image store. If a check fails, what was found
    instead is printed and the exit code is 1.

    \b
    Examples:
      rtbuild check 8.0
      rtbuild check registry/team/airflow:1.4
      rtbuild check 8.0 --only labels --only pins --json -q
    """
    from rtbuild.conformance.report import describe_check
    from rtbuild.verbs.check import check as check_release
    from rtbuild.verbs.check import check_image

    release = subject if subject is None or _RELEASE.fullmatch(subject) else None
    if subject is not None and image is not None:
        raise UsageError("give either a release or --image, not both", hint="leave one of them out")
    image = image or (subject if release is None else None)
    if image is not None and platform is not None:
        raise UsageError("--platform goes with a release: an image has its own", hint="leave one of them out")
    settings = invocation.settings(jobs=jobs, builder=builder)
    with invocation.progress() as progress:
        if image is not None:
            report = check_image(image, settings=settings, only=only, grace=grace, progress=progress)
        elif release is not None:
            report = check_release(
                invocation.workspace(),
                release,
                platform=platform,
                settings=settings,
                only=only,
                grace=grace,
                progress=progress,
            )
        else:
            raise UsageError("nothing to check", hint="rtbuild check 8.0, or rtbuild check IMAGE")
    invocation.answer(as_document(report), describe_check(report))
    if not report.passed:
        context.exit(1)


@click.command(hidden=True, params=check.params, help=check.help, short_help=check.short_help)
@click.pass_context
def test(context: click.Context, /, **options: Any) -> None:
    note = "note: `rtbuild test` is now called `rtbuild check`; version 0.2 removes the old name"
    context.ensure_object(Invocation).note(note)
    context.invoke(check, **options)
