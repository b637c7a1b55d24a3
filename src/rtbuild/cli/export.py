"""`rtbuild export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import FILE, platform_option, release_argument
from rtbuild.errors import RtbuildError

if TYPE_CHECKING:
    from rtbuild.lockfile.export import ExportFormat
    from rtbuild.platform import Platform


@click.command(short_help="Print the Python packages for other tools.")
@release_argument
@click.option(
    "--format",
    type=click.Choice(["requirements", "pylock"]),
    default="requirements",
    show_default=True,
    help="requirements: for pip install --require-hashes; pylock: PEP 751.",
)
@click.option("--no-index", is_flag=True, help="Ask no package index; put the files beside the pylock.toml instead.")
@click.option("--no-local", is_flag=True, help="Leave out local packages, which no index has.")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write into FILE, not to stdout.")
@platform_option
@shared_options
@click.pass_obj
def export(  # noqa: PLR0913 (one parameter for each option)
    invocation: Invocation,
    release: str,
    format: ExportFormat,
    no_index: bool,
    no_local: bool,
    output: Path | None,
    platform: Platform | None,
) -> None:
    """Print the Python packages of RELEASE's lock in a format that other tools read.

    Packages that the release patches are exported as published, since no index has the patched ones.

    A pylock.toml names the address of each file. The lock has none, so the package indexes that fetch would use are
    asked. Local packages are named by their folder: write the pylock.toml into the workspace, and install it with
    `uv pip sync pylock.toml`. `pip install -r pylock.toml` accepts no folders beside hashed files: use --no-local.

    \b
    Examples:
      rtbuild export 8.0 > requirements.txt
      rtbuild export 8.0 --format pylock -o pylock.toml
      rtbuild export 8.0 --format pylock --no-local -o /tmp/pylock.toml
    """
    from rtbuild.files import write_atomically
    from rtbuild.verbs.export import export as export_release

    workspace, settings = invocation.workspace(), invocation.settings()
    with invocation.progress() as progress:
        text = export_release(
            workspace,
            release,
            platform=platform,
            format=format,
            no_index=no_index,
            no_local=no_local,
            settings=settings,
            progress=progress,
        )
    if output is None:
        invocation.answer({"format": format, "content": text}, text.rstrip("\n"))
        return
    try:
        write_atomically(output, text.encode())
    except OSError as error:
        hint = f"check the permissions of {output.parent}"
        raise RtbuildError(f"cannot write {output}: {error.strerror}", hint=hint) from error
    invocation.answer({"format": format, "path": str(output)}, f"{output}: written")
