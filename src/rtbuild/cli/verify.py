"""`rtbuild verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, platforms_of
from rtbuild.cli.options import FOLDER, ReleaseName, builder_option, jobs_option, platforms_option
from rtbuild.errors import NotReproducibleError

if TYPE_CHECKING:
    from rtbuild.platform import Platform


@click.command(short_help="Read an image, rebuild it from nothing, and compare.")
@click.argument("subject", type=ReleaseName(), metavar="RELEASE|IMAGE")
@platforms_option("this machine's; all that an image has")
@click.option("--release", type=ReleaseName(), metavar="RELEASE", help="The release of IMAGE, not what its labels say.")
@click.option("--against", metavar="IMAGE", help="The same as IMAGE with --release RELEASE.")
@click.option("--no-rebuild", is_flag=True, help="Stop after reading the image and comparing it with the lock.")
@click.option("--report", type=FOLDER, metavar="DIR", help="Write the report, and the layers that differ, into DIR.")
@jobs_option
@builder_option
@shared_options
@click.pass_obj
@click.pass_context
def verify(  # noqa: PLR0913 (one parameter for each option)
    context: click.Context,
    invocation: Invocation,
    subject: str,
    platforms: tuple[Platform, ...],
    release: str | None,
    against: str | None,
    no_rebuild: bool,
    report: Path | None,
    jobs: int | None,
    builder: str | None,
) -> None:
    """Rebuild RELEASE from an empty store and without any cache, and compare it with its lock.

    IMAGE is the folder of an OCI image layout, a tar of one or of `docker save`, or an image in Docker as docker:NAME.
    First every byte of it is read: each blob is hashed, each diff ID computed anew, and index, manifest and config are
    compared with each other and with the lock.

    If everything is equal, the exit code is 0; otherwise it is named, down to the file, and it is 3.

    \b
    Examples:
      rtbuild verify 8.0 --report report/
      rtbuild verify image/
      rtbuild verify image.tar --no-rebuild
      rtbuild verify docker:astro-runtime:8.0.0
    """
    from rtbuild.verbs.verification import describe_verification
    from rtbuild.verbs.verify import is_image, verify_image
    from rtbuild.verbs.verify import verify as verify_release

    if report is not None and len(platforms) > 1:
        raise click.UsageError("--report holds one report, so it goes with one platform")
    workspace, settings = invocation.workspace(), invocation.settings(jobs=jobs, builder=builder)
    image, name = (subject, release) if is_image(subject) else (against, subject)
    if image == subject and against is not None:
        raise click.UsageError("--against goes with RELEASE; IMAGE is compared with already")
    if name == subject and release is not None:
        raise click.UsageError("--release goes with IMAGE")
    with invocation.progress() as progress:
        if image is not None and name is None:
            reports = [
                verified
                for platform in platforms or (None,)
                for verified in verify_image(
                    workspace,
                    image,
                    release=release,
                    platform=platform,
                    settings=settings,
                    rebuild=not no_rebuild,
                    report=report,
                    progress=progress,
                )
            ]
        else:
            assert name is not None
            reports = [
                verify_release(
                    workspace,
                    name,
                    platform=platform,
                    settings=settings,
                    against=image,
                    rebuild=not no_rebuild,
                    report=report,
                    progress=progress,
                )
                for platform in platforms_of(workspace, name, platforms)
            ]
    invocation.answer_each(
        "verifications",
        [as_document(verified) for verified in reports],
        [describe_verification(verified) for verified in reports],
    )
    if any(verified.mismatches for verified in reports):
        context.exit(NotReproducibleError.exit_code)
