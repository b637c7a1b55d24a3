"""`rtbuild store du`, `verify` and `gc`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import Group, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.text import table
from rtbuild.errors import IntegrityError
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rtbuild.store.collect import Roots


@click.group(cls=Group, short_help="Look after the folder of everything rtbuild keeps.")
def store() -> None:
    """Look after the folder that holds everything rtbuild keeps.

    \b
    Example:
      rtbuild store du
    """


@store.command(short_help="Show how much space is used, and by what.")
@shared_options
@click.pass_obj
def du(invocation: Invocation) -> None:
    """Show how much space the store uses, and by what.

    \b
    Example:
      rtbuild store du --store /media/usb/store
    """
    opened = invocation.store(read_only=True)
    sizes = opened.du()
    rows = [*((kind, size_text(size)) for kind, size in sizes.items()), ("total", size_text(sum(sizes.values())))]
    invocation.answer({"store": str(opened.root), "bytes": sizes}, f"{opened.root}\n" + table(("what", "size"), rows))


@store.command(short_help="Read everything and remove what is damaged.")
@shared_options
@click.pass_obj
def verify(invocation: Invocation) -> None:
    """Read every file and compare it with its digest; damaged ones are named and removed.

    If anything is damaged, the exit code is 1, and the next build fetches or builds it again.

    \b
    Example:
      rtbuild store verify
    """
    with invocation.progress() as progress:
        report = invocation.store().verify(progress)
    if report.bad:
        raise IntegrityError(
            f"{len(report.bad)} of {report.checked} files in the store were damaged and have been removed",
            details="\n".join(f"{path}: {problem}" for path, problem in report.bad),
            hint="the next build fetches or builds them again",
        )
    text = f"{report.checked} files, {size_text(report.bytes)}: all intact"
    invocation.answer(as_document(report), text)


@store.command(short_help="Remove what no lock refers to.")
@click.option("--trees", is_flag=True, help="Remove every wheel tree as well; builds make them again.")
@shared_options
@click.pass_obj
def gc(invocation: Invocation, trees: bool) -> None:
    """Remove what no lock of this workspace refers to: artifacts, layers, wheel trees, images, unfinished downloads.

    Logs and cached index pages are removed if they were not used for 30 days.

    \b
    Example:
      rtbuild store gc --workspace ~/runtimes
    """
    workspace = invocation.workspace()

    def roots() -> Roots:
        used = workspace.roots()
        return replace(used, trees=frozenset()) if trees else used

    with invocation.progress() as progress:
        report = invocation.store().gc(roots, progress)
    counts = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in report.removed]
    text = f"removed {', '.join(counts)}: {size_text(report.bytes)}" if counts else "nothing to remove"
    invocation.answer({"removed": dict(report.removed), "bytes": report.bytes}, text)
