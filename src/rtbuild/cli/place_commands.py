"""What concerns the machine and the workspace at large: `list`, `mirrors` and `store`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import Group, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.text import table
from rtbuild.errors import IntegrityError
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rtbuild.recipe.model import Release, Suite
    from rtbuild.store.collect import Roots
    from rtbuild.store.store import Store
    from rtbuild.workspace import Workspace


@click.command("list", short_help="List the releases that have a recipe.")
@shared_options
@click.pass_obj
def list_releases(invocation: Invocation) -> None:
    """List the releases that have a recipe: what they are, and whether they are locked and built here.

    \b
    Example:
      rtbuild list --json | jq -r '.releases[].version'
    """
    workspace, store = invocation.workspace(), invocation.store(read_only=True)
    documents = [release_document(workspace, store, workspace.release(version)) for version in workspace.releases()]
    rows = [
        (
            one["version"],
            one["airflow"],
            one["python"],
            one["os"],
            " ".join(name.removeprefix("linux/") for name in one["platforms"]),
            one["support"]["status"] + (f" until {one['support']['until']}" if one["support"]["until"] else ""),
            " ".join(name.removeprefix("linux/") for name in one["locked"]) or "-",
            " ".join(name.removeprefix("linux/") for name in one["built"]) or "-",
        )
        for one in documents
    ]
    head = ("release", "airflow", "python", "os", "platforms", "support", "locked", "built")
    invocation.answer({"releases": documents}, table(head, rows))


def release_document(workspace: Workspace, store: Store, release: Release) -> dict[str, Any]:
    """What `list` says of one release. It counts as built where every layer of its lock is in the store."""
    from rtbuild.derivations.plan import plan_release

    locked, built = [], []
    for platform in release.platforms:
        if workspace.lock_path(release.version, platform).is_file():
            locked.append(platform)
            plan = plan_release(release, workspace.read_lock(release.version, platform), store)
            if not plan.missing:
                built.append(platform)
    return {
        "version": release.version,
        "airflow": release.airflow,
        "python": release.python_series,
        "os": release.os,
        "released": release.released,
        "platforms": as_document(release.platforms),
        "support": as_document(release.support),
        "locked": as_document(locked),
        "built": as_document(built),
    }


@click.command(short_help="Show where files would come from.")
@shared_options
@click.pass_obj
def mirrors(invocation: Invocation) -> None:
    """Show every mirror that was found, who named it, and which of the recipes' suites it serves.

    \b
    Example:
      rtbuild mirrors
    """
    from rtbuild.verbs.mirrors import describe_mirrors
    from rtbuild.verbs.trust import why_untrusted

    suites = wanted_suites(invocation.workspace())
    with invocation.progress() as progress:
        found = describe_mirrors(invocation.settings(), suites, accepts=why_untrusted, progress=progress)
    rows = [(one.kind, one.address, one.origin, ", ".join(one.serves) or "-", one.problem or "") for one in found]
    text = table(("for", "mirror", "named by", "serves", "problem"), rows)
    invocation.answer({"mirrors": as_document(found)}, text)


def wanted_suites(workspace: Workspace) -> tuple[Suite, ...]:
    """Every suite that a release or a private engine of the workspace takes packages from."""
    suites: list[Suite] = []
    for version in workspace.releases():
        suites += workspace.release(version).suites
    for name in workspace.engines():
        suites += workspace.engine(name).suites
    return tuple({(one.archive, one.suite, one.snapshot): one for one in suites}.values())


@click.group(cls=Group, short_help="Look after the folder of everything rtbuild keeps.")
def store() -> None:
    """Look after the folder that holds everything rtbuild keeps.

    \b
    Example:
      rtbuild store du
    """


@store.command("du", short_help="Show what takes how much room.")
@shared_options
@click.pass_obj
def store_du(invocation: Invocation) -> None:
    """Show what takes how much room.

    \b
    Example:
      rtbuild store du --store /media/usb/store
    """
    opened = invocation.store(read_only=True)
    sizes = opened.du()
    rows = [*((kind, size_text(size)) for kind, size in sizes.items()), ("total", size_text(sum(sizes.values())))]
    invocation.answer({"store": str(opened.root), "bytes": sizes}, f"{opened.root}\n" + table(("what", "size"), rows))


@store.command("verify", short_help="Read everything, find what is damaged.")
@shared_options
@click.pass_obj
def store_verify(invocation: Invocation) -> None:
    """Read everything and compare it with its digest. What is wrong is named and removed, to be had anew.

    Exit code 1 if anything was wrong.

    \b
    Example:
      rtbuild store verify
    """
    with invocation.progress() as progress:
        report = invocation.store().verify(progress)
    text = f"{report.checked} files, {size_text(report.bytes)}: all as they should be"
    if not report.bad:
        invocation.answer(as_document(report), text)
        return
    raise IntegrityError(
        f"{len(report.bad)} of {report.checked} files in the store were not what they should be, and were removed",
        details="\n".join(f"{path}: {problem}" for path, problem in report.bad),
        hint="the next build fetches or builds them again",
    )


@store.command("gc", short_help="Remove what no lock refers to.")
@click.option("--trees", is_flag=True, help="Remove every wheel tree as well; builds make them again.")
@shared_options
@click.pass_obj
def store_gc(invocation: Invocation, trees: bool) -> None:
    """Remove what no lock of this workspace refers to: artifacts, layers, images, unfinished downloads.

    Logs, and what was kept of indexes, go when they were not used for 30 days.

    \b
    Example:
      rtbuild store gc --workspace ~/runtimes
    """
    workspace = invocation.workspace()

    def keep() -> Roots:
        wanted = workspace.wanted()
        return replace(wanted, trees=frozenset()) if trees else wanted

    with invocation.progress() as progress:
        report = invocation.store().gc(keep, progress)
    counts = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in report.removed]
    text = f"removed {', '.join(counts)}: {size_text(report.bytes)}" if counts else "nothing to remove"
    invocation.answer({"removed": dict(report.removed), "bytes": report.bytes}, text)
