"""`rtbuild engine start`, `status`, `stop` and `lock`; the other commands are in `engine_space`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.engine_space import du, prune, remove
from rtbuild.cli.group import Group, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import DEFAULT_ENGINE, engine_name_option, platform_option
from rtbuild.cli.suites import allow_older_archive_option, suite_documents, suite_lines
from rtbuild.platform import host_platform

if TYPE_CHECKING:
    from rtbuild.engine.private import EngineStatus
    from rtbuild.platform import Platform


@click.group(cls=Group, short_help="Manage a private Docker daemon, for machines without Docker.")
def engine() -> None:
    """Manage a private Docker daemon, for a machine that has no Docker.

    Its packages are locked, unpacked into a folder of yours and started from there, as root. Nothing is installed.

    \b
    Example:
      rtbuild engine start
    """


@engine.command(short_help="Fetch, unpack and start it.")
@engine_name_option
@shared_options
@click.pass_obj
def start(invocation: Invocation, name: str) -> None:
    """Start the engine and wait until it answers. Its packages are fetched and unpacked if necessary.

    \b
    Example:
      rtbuild engine start --name testing
    """
    from rtbuild.verbs.engine import start_engine

    with invocation.progress() as progress:
        status = start_engine(invocation.workspace(), name, settings=invocation.settings(), progress=progress)
    invocation.answer(as_document(status), status_text(status))


@engine.command(short_help="Show whether it is running.")
@engine_name_option
@shared_options
@click.pass_obj
def status(invocation: Invocation, name: str) -> None:
    """Show whether the engine is running, and how to use it by hand.

    \b
    Example:
      rtbuild engine status --json | jq -r .host
    """
    from rtbuild.verbs.engine import engine_status

    found = engine_status(None, name, settings=invocation.settings())
    require_known(invocation, found)
    invocation.answer(as_document(found), status_text(found))


@engine.command(short_help="Stop it.")
@engine_name_option
@shared_options
@click.pass_obj
def stop(invocation: Invocation, name: str) -> None:
    """Stop the engine and everything it started. Its images and its cache stay.

    \b
    Example:
      rtbuild engine stop
    """
    from rtbuild.verbs.engine import engine_status, stop_engine

    settings = invocation.settings()
    require_known(invocation, engine_status(None, name, settings=settings))
    stopped = stop_engine(None, name, settings=settings)
    invocation.answer(as_document(stopped), status_text(stopped))


def require_known(invocation: Invocation, status: EngineStatus) -> None:
    """Raise `RecipeError` for an engine that is neither unpacked here nor has a recipe in the workspace."""
    if status.name != DEFAULT_ENGINE and not status.folder.exists():
        invocation.workspace().engine(status.name)


for command in (du, prune, remove):
    engine.add_command(command)


@engine.command(short_help="Choose its packages and write its lockfile.")
@engine_name_option
@platform_option
@allow_older_archive_option
@click.option("--check", is_flag=True, help="Write nothing, offline; exit with 1 if the lock is stale.")
@shared_options
@click.pass_obj
def lock(invocation: Invocation, name: str, platform: Platform | None, allow_older_archive: bool, check: bool) -> None:
    """Choose the newest packages that the engine's recipe allows, and write its lockfile.

    \b
    Examples:
      rtbuild engine lock --name testing
      rtbuild engine lock --check
    """
    from rtbuild.verbs.engine import fresh_engine_lock
    from rtbuild.verbs.lock import lock_engine

    workspace, target = invocation.workspace(), platform or host_platform()
    if check:
        fresh_engine_lock(workspace, name, target)
        path = workspace.engine_lock_path(name, target)
        document = {"engine": name, "platform": str(target), "fresh": True}
        invocation.answer(document, f"{workspace.relative(path)}: the lock is up to date")
        return
    with invocation.progress() as progress:
        result = lock_engine(
            workspace,
            name,
            platform=target,
            settings=invocation.settings(),
            allow_older_archive=allow_older_archive,
            progress=progress,
        )
    packages = {deb.name: deb.version for deb in result.lock.debs}
    listed = [f"  {package} {version}" for package, version in packages.items()]
    document = {
        "engine": name,
        "platform": str(target),
        "path": str(result.path),
        "packages": packages,
        "suites": suite_documents(result.lock.suites),
    }
    heading = f"{workspace.relative(result.path)}: written"
    invocation.answer(document, "\n".join([heading, *suite_lines(result.lock.suites), *listed]))


def status_text(status: EngineStatus) -> str:
    """Return an engine's status as lines of text."""
    if not status.running:
        return f"engine {status.name}: not running ({status.folder})"
    lines = [
        f"engine {status.name}: running, process {status.pid} ({status.folder})",
        f"by hand: DOCKER_CONFIG={status.config} {status.docker} -H {status.host} info",
        f"log: {status.log}",
    ]
    return "\n".join(lines)
