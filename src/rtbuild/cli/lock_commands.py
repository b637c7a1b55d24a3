"""What concerns locks: `lock`, `fetch`, `why` and `export`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation, chosen_platform
from rtbuild.errors import StaleLockError
from rtbuild.lockfile.export import EXPORT_FORMATS
from rtbuild.text import size_text

if TYPE_CHECKING:
    from rtbuild.lockfile.export import ExportFormat
    from rtbuild.lockfile.model import Lock
    from rtbuild.lockfile.why import AppliedPatch, Reason
    from rtbuild.platform import Platform
    from rtbuild.workspace import Workspace


@click.command(short_help="Choose every artifact and write the lock.")
@click.argument("release", required=False)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="P",
    help="linux/amd64 or linux/arm64; may be repeated [every one of the release].",
)
@click.option(
    "--upgrade-package",
    "upgrades",
    multiple=True,
    metavar="NAME[==V]",
    help="Move this package, and what it forces; may be repeated.",
)
@click.option("--refresh", is_flag=True, help="Choose everything anew, as if there were no lock.")
@click.option("--check", is_flag=True, help="Write nothing; say what is stale, exit code 1 if anything is. Offline.")
@shared_options
@click.pass_obj
def lock(
    invocation: Invocation,
    release: str | None,
    platforms: tuple[str, ...],
    upgrades: tuple[str, ...],
    refresh: bool,
    check: bool,
) -> None:
    """Choose every artifact of RELEASE (or of all releases) and write the lock.

    Versions in an existing lock stay, unless a recipe or --upgrade-package moves them.

    \b
    Examples:
      rtbuild lock 8.0
      rtbuild lock 8.0 --upgrade-package apache-airflow-providers-amazon==8.1.0
      rtbuild lock --check
    """
    if check and (upgrades or refresh):
        raise click.UsageError("--check writes nothing, so it takes neither --upgrade-package nor --refresh")
    if refresh and upgrades:
        raise click.UsageError("--refresh moves everything, so it takes no --upgrade-package")
    workspace = invocation.workspace()
    targets = lock_targets(workspace, release, platforms)
    if check:
        check_locks(invocation, workspace, targets)
    else:
        write_locks(invocation, workspace, targets, upgrades, refresh)


def lock_targets(workspace: Workspace, release: str | None, platforms: Sequence[str]) -> list[tuple[str, Platform]]:
    """The (version, platform) pairs that were asked for."""
    targets = []
    for version in [workspace.resolve(release)] if release else workspace.releases():
        recipe = workspace.release(version)
        wanted = [chosen_platform(name) for name in platforms] or recipe.platforms
        for platform in wanted:
            recipe.require_platform(platform)
            targets.append((version, platform))
    return targets


def check_locks(invocation: Invocation, workspace: Workspace, targets: Sequence[tuple[str, Platform]]) -> None:
    """Answer that every lock fits, or raise `StaleLockError` with what does not."""
    from rtbuild.verbs.lock import check_lock

    stale: list[str] = []
    mends: list[str] = []
    for version, platform in targets:
        problems = check_lock(workspace, version, platform=platform)
        if problems:
            name = workspace.relative(workspace.lock_path(version, platform))
            stale += [f"{name}: {problem}" for problem in problems]
            mends.append(f"rtbuild lock {version} --platform {platform}")
    if stale:
        which = "the lock no longer fits" if len(mends) == 1 else f"{len(mends)} locks no longer fit"
        raise StaleLockError(
            f"{which} the recipes", details="\n".join(stale), hint=f"make it again with: {'; '.join(mends)}"
        )
    documents = [{"release": version, "platform": str(platform)} for version, platform in targets]
    texts = [f"{version} for {platform}: the lock fits its recipes" for version, platform in targets]
    invocation.answer({"fresh": documents}, "\n".join(texts))


def write_locks(
    invocation: Invocation,
    workspace: Workspace,
    targets: Sequence[tuple[str, Platform]],
    upgrades: Sequence[str],
    refresh: bool,
) -> None:
    """Resolve and write each lock, and answer with what moved."""
    from rtbuild.cli.memory import share_arenas
    from rtbuild.verbs.lock import lock

    share_arenas()
    settings = invocation.settings()
    documents, texts = [], []
    with invocation.progress() as progress:
        for version, platform in targets:
            result = lock(
                workspace,
                version,
                platform=platform,
                settings=settings,
                upgrade=dict(split_upgrade(text) for text in upgrades),
                refresh=refresh,
                progress=progress,
            )
            debs, pythons = len(result.lock.debs), len(result.lock.pythons)
            document = {
                "release": version,
                "platform": str(platform),
                "path": str(result.path),
                "debs": debs,
                "pythons": pythons,
                "changed": result.changed,
                "moved": as_document(result.moved),
            }
            documents.append(document)
            state = "written" if result.changed else "unchanged"
            counts = f"{debs} Debian and {pythons} Python packages"
            listed = [] if result.is_new else [f"  {move}" for move in result.moved]
            texts.append("\n".join([f"{workspace.relative(result.path)}: {counts}, {state}", *listed]))
    invocation.answer_each("locks", documents, texts)


def split_upgrade(text: str) -> tuple[str, str | None]:
    """`NAME` or `NAME==V` as a pair; raises a usage error for anything else."""
    name, separator, version = (part.strip() for part in text.partition("=="))
    if not name or (separator and not version) or any(sign in text for sign in "<>~!,[; "):
        raise click.BadParameter(f"{text!r} is neither NAME nor NAME==VERSION", param_hint="'--upgrade-package'")
    return name, version or None


@click.command(short_help="Fetch what the lock names and the store lacks.")
@click.argument("release")
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@click.option("--engine", is_flag=True, help="The packages of a private engine too [where this machine has no Docker].")
@shared_options
@click.pass_obj
def fetch(invocation: Invocation, release: str, platform: str | None, engine: bool) -> None:
    """Fetch every file that RELEASE's lock names and the store lacks, so that a build needs no network.

    The packages of a private engine are fetched too where this machine has no Docker that will do; for another machine
    without one, ask for them with --engine. Each file may come from any mirror; its size and sha256 are checked while
    it arrives. An interrupted run goes on where it stopped.

    \b
    Examples:
      rtbuild fetch 8.0
      rtbuild fetch 8.0 --engine --store /media/usb/store
    """
    from rtbuild.verbs.fetch import fetch as fetch_release

    workspace, store, settings = invocation.workspace(), invocation.store(), invocation.settings()
    target = chosen_platform(platform)
    with invocation.progress() as progress:
        report = fetch_release(workspace, release, platform=target, settings=settings, engine=engine, progress=progress)
    text = (
        f"{workspace.resolve(release)} for {target}: {report.fetched} files fetched ({size_text(report.bytes)}), "
        f"{report.present} were there, in {store.root}"
    )
    invocation.answer({**as_document(report), "store": str(store.root)}, text)


@click.command(short_help="Show who needs a package.")
@click.argument("release")
@click.argument("name")
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@shared_options
@click.pass_obj
def why(invocation: Invocation, release: str, name: str, platform: str | None) -> None:
    """Show who needs the Debian or Python package NAME in RELEASE.

    \b
    Example:
      rtbuild why 8.0 protobuf
    """
    from rtbuild.verbs.why import why

    reasons = why(invocation.workspace(), release, name, platform=chosen_platform(platform))
    invocation.answer({"needs": as_document(reasons)}, "\n\n".join(reason_text(reason) for reason in reasons))


def reason_text(reason: Reason) -> str:
    """One answer of `why`, for a reader."""
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
    """One patch of a package, for a reader."""
    return f"patched    {patch.id} " + (
        f"({patch.kind}): {patch.title}" if patch.kind else "(not in the recipes any more)"
    )


@click.command(short_help="Print the Python side for other tools.")
@click.argument("release")
@click.option(
    "--format",
    "form",
    type=click.Choice(EXPORT_FORMATS),
    default="requirements",
    show_default=True,
    help="requirements: for pip install --require-hashes; pylock: PEP 751.",
)
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@shared_options
@click.pass_obj
def export(invocation: Invocation, release: str, form: ExportFormat, platform: str | None) -> None:
    """Print the Python side of RELEASE's lock in a format that other tools read.

    Packages that the release patches are there as they are published, since no index has the patched ones.

    \b
    Examples:
      rtbuild export 8.0 > requirements.txt
      rtbuild export 8.0 --format pylock > pylock.toml
    """
    from rtbuild.verbs.export import export

    text = export(invocation.workspace(), release, platform=chosen_platform(platform), format=form)
    invocation.answer({"format": form, "content": text}, text.rstrip("\n"))


def read_lock(workspace: Workspace, version: str, platform: str | None) -> Lock:
    """The lock of `version` for the platform asked for."""
    return workspace.read_lock(version, chosen_platform(platform))
