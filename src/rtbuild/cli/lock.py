"""`rtbuild lock`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import PackageUpgrade, ReleaseName, platforms_option
from rtbuild.cli.suites import allow_older_archive_option, suite_documents, suite_lines
from rtbuild.errors import StaleLockError

if TYPE_CHECKING:
    from rtbuild.platform import Platform
    from rtbuild.verbs.lock import LockResult
    from rtbuild.workspace import Workspace

Target = tuple[str, "Platform"]
"""A release's version, and a platform."""


@click.command(short_help="Choose every artifact and write the lockfile.")
@click.argument("release", type=ReleaseName(), required=False)
@platforms_option("every one of the release")
@click.option(
    "-P",
    "--upgrade-package",
    "upgrades",
    type=PackageUpgrade(),
    multiple=True,
    metavar="NAME[==VERSION]",
    help="Upgrade this package, and what that forces; repeatable.",
)
@click.option("--refresh", is_flag=True, help="Ignore the existing lock and choose everything from scratch.")
@allow_older_archive_option
@click.option("--check", is_flag=True, help="Write nothing, offline; exit with 1 if the lock is stale.")
@shared_options
@click.pass_obj
def lock(  # noqa: PLR0913 (one parameter for each option)
    invocation: Invocation,
    release: str | None,
    platforms: tuple[Platform, ...],
    upgrades: tuple[tuple[str, str | None], ...],
    refresh: bool,
    allow_older_archive: bool,
    check: bool,
) -> None:
    """Choose every artifact of RELEASE (or of all releases) and write the lockfile.

    Versions in an existing lock stay, unless a recipe or --upgrade-package moves them. The lock records the state of
    each Debian suite that it was made with; an older state is refused later, whoever signed it.

    \b
    Examples:
      rtbuild lock 8.0
      rtbuild lock 8.0 -P apache-airflow-providers-amazon==8.1.0
      rtbuild lock --check
    """
    if check and (upgrades or refresh):
        raise click.UsageError("--check writes nothing, so it excludes --upgrade-package and --refresh")
    if refresh and upgrades:
        raise click.UsageError("--refresh upgrades everything, so it excludes --upgrade-package")
    workspace = invocation.workspace()
    targets = lock_targets(workspace, release, platforms)
    if check:
        check_locks(invocation, workspace, targets)
    else:
        options = {"upgrade": dict(upgrades), "refresh": refresh, "allow_older_archive": allow_older_archive}
        write_locks(invocation, workspace, targets, options)


def lock_targets(workspace: Workspace, release: str | None, platforms: Sequence[Platform]) -> list[Target]:
    """Return what to lock: one release or all, on the platforms asked for or all of the release's own."""
    targets = []
    for version in [workspace.resolve(release)] if release else workspace.releases():
        recipe = workspace.release(version)
        for platform in platforms or recipe.platforms:
            recipe.require_platform(platform)
            targets.append((version, platform))
    return targets


def check_locks(invocation: Invocation, workspace: Workspace, targets: Sequence[Target]) -> None:
    """Answer that every lock is up to date, or raise `StaleLockError` with everything that is stale."""
    from rtbuild.verbs.lock import check_lock

    problems: list[str] = []
    commands: list[str] = []
    for version, platform in targets:
        stale = check_lock(workspace, version, platform=platform)
        if stale:
            name = workspace.relative(workspace.lock_path(version, platform))
            problems += [f"{name}: {problem}" for problem in stale]
            commands.append(f"rtbuild lock {version} --platform {platform}")
    if problems:
        which = "the lock is stale" if len(commands) == 1 else f"{len(commands)} locks are stale"
        raise StaleLockError(which, details="\n".join(problems), hint=f"update with: {'; '.join(commands)}")
    documents = [{"release": version, "platform": str(platform)} for version, platform in targets]
    texts = [f"{version} for {platform}: the lock is up to date" for version, platform in targets]
    invocation.answer({"fresh": documents}, "\n".join(texts))


def write_locks(
    invocation: Invocation,
    workspace: Workspace,
    targets: Sequence[Target],
    options: Mapping[str, Any],
) -> None:
    """Resolve and write each lock with the `options` of the verb, and answer with what moved."""
    from rtbuild.cli.memory import share_arenas
    from rtbuild.verbs.lock import lock as lock_release

    share_arenas()
    settings = invocation.settings()
    with invocation.progress() as progress:
        results = [
            lock_release(workspace, version, platform=platform, settings=settings, progress=progress, **options)
            for version, platform in targets
        ]
    documents = [
        {
            "release": result.release,
            "platform": str(result.platform),
            "path": str(result.path),
            "debs": len(result.lock.debs),
            "pythons": len(result.lock.pythons),
            "suites": suite_documents(result.lock.suites),
            "changed": result.changed,
            "moved": as_document(result.moved),
        }
        for result in results
    ]
    invocation.answer_each("locks", documents, [lock_text(workspace, result) for result in results])


def lock_text(workspace: Workspace, result: LockResult) -> str:
    """Return what a lock holds, the state of the suites that it was made with, and what moved."""
    counts = f"{len(result.lock.debs)} Debian and {len(result.lock.pythons)} Python packages"
    state = "written" if result.changed else "unchanged"
    moves = [] if result.is_new else [f"  {move}" for move in result.moved]
    heading = f"{workspace.relative(result.path)}: {counts}, {state}"
    return "\n".join([heading, *suite_lines(result.lock.suites), *moves])
