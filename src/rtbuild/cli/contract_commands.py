"""`test`."""

from __future__ import annotations

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, chosen_platform
from rtbuild.errors import UsageError


@click.command(short_help="Try what an image promises.")
@click.argument("release", required=False)
@click.option("--image", metavar="REF", help="Try an image of the engine instead, such as one made from a release.")
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@click.option("--only", "only", multiple=True, metavar="CHECK", help="Run this check alone; may be repeated.")
@click.option(
    "--grace",
    type=click.FloatRange(min=1),
    default=10,
    metavar="S",
    help="Seconds that Airflow has to end in when it is stopped [10, as docker stop].",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Checks to run at once [one per core].")
@click.option("--builder", metavar="NAME", help="The buildx builder to use [the machine's Docker, or a private one].")
@shared_options
@click.pass_obj
@click.pass_context
def test(
    context: click.Context,
    invocation: Invocation,
    release: str | None,
    image: str | None,
    platform: str | None,
    only: tuple[str, ...],
    grace: float,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Try in real containers what a runtime image promises: user, folders, entrypoint, labels, pip, signals.

    RELEASE is built and loaded where need be. With --image it is any image that the engine has: run it on what you made
    from a release. A promise that is not kept is exit code 1, with what was found instead.

    \b
    Examples:
      rtbuild test 8.0
      rtbuild test --image registry/team/airflow:1.4
      rtbuild test 8.0 --only labels --only pins --json -q
    """
    from rtbuild.conformance.report import describe_check
    from rtbuild.verbs.check import check, check_image

    if (release is None) == (image is None):
        raise UsageError(
            "either a release or --image must be given", hint="rtbuild test 8.0, or rtbuild test --image REF"
        )
    if image is not None and platform is not None:
        raise UsageError("--platform goes with a release: an image has its own", hint="leave one of the two out")
    settings = invocation.settings(jobs=jobs, builder=builder)
    with invocation.progress() as progress:
        if image is not None:
            report = check_image(image, settings=settings, only=only, grace=grace, progress=progress)
        else:
            assert release is not None  # one of the two is given
            report = check(
                invocation.workspace(),
                release,
                platform=chosen_platform(platform),
                settings=settings,
                only=only,
                grace=grace,
                progress=progress,
            )
    invocation.answer(as_document(report), describe_check(report))
    if not report.passed:
        context.exit(1)
