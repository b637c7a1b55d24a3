"""`rtbuild why`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import LockedPackage, platform_option, release_argument

if TYPE_CHECKING:
    from rtbuild.lockfile.why import AppliedPatch, Reason
    from rtbuild.platform import Platform


@click.command(short_help="Show who needs a package.")
@release_argument
@click.argument("package", type=LockedPackage())
@platform_option
@shared_options
@click.pass_obj
def why(invocation: Invocation, release: str, package: str, platform: Platform | None) -> None:
    """Show who needs the Debian or Python package PACKAGE in RELEASE.

    \b
    Example:
      rtbuild why 8.0 protobuf
    """
    from rtbuild.verbs.why import why as reasons_for

    reasons = reasons_for(invocation.workspace(), release, package, platform=platform)
    invocation.answer({"needs": as_document(reasons)}, "\n\n".join(reason_text(reason) for reason in reasons))


def reason_text(reason: Reason) -> str:
    """Return one reason as lines of text."""
    lines = [f"{reason.name} {reason.version} ({reason.kind})"]
    if reason.layer:
        lines.append(f"layer      {reason.layer}")
    lines += [patch_text(patch) for patch in reason.patches]
    lines.append(f"because    {reason.origin}" + (f": {' -> '.join(reason.chain)}" if len(reason.chain) > 1 else ""))
    if reason.needed_by:
        names = textwrap.wrap(", ".join(reason.needed_by), width=89, break_long_words=False, break_on_hyphens=False)
        lines.append("needed by  " + f"\n{' ' * 11}".join(names))
    return "\n".join(lines)


def patch_text(patch: AppliedPatch) -> str:
    """Return one patch of a package as a line of text."""
    described = f"({patch.kind}): {patch.title}" if patch.kind else "(no longer in the recipes)"
    return f"patched    {patch.id} {described}"
