"""The private engine: `engine start`, `status`, `stop` and `lock`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import Group, shared_options
from rtbuild.cli.invocation import Invocation, chosen_platform

if TYPE_CHECKING:
    from rtbuild.engine.private import EngineStatus

DEFAULT_NAME = "default"

name_option = click.option(
    "--name", default=DEFAULT_NAME, show_default=True, metavar="NAME", help="Which recipe of recipes/engines/."
)


@click.group(cls=Group, short_help="A private Docker daemon, for a machine without.")
def engine() -> None:
    """Start, stop or look at a private Docker daemon, for a machine that has none.

    Its packages are locked, unpacked into a folder of the user and started from there, as root. Nothing is installed.

    \b
    Example:
      rtbuild engine start
    """


@engine.command("start", short_help="Fetch, unpack and start it.")
@name_option
@shared_options
@click.pass_obj
def engine_start(invocation: Invocation, name: str) -> None:
    """Have the engine running: fetch and unpack its packages if need be, and wait until it answers.

    \b
    Example:
      rtbuild engine start --name testing
    """
    from rtbuild.verbs.engine import start_private_engine

    with invocation.progress() as progress:
        status = start_private_engine(
            invocation.workspace(), invocation.settings(), invocation.store(), progress, name=name
        )
    invocation.answer(as_document(status), status_text(status))


@engine.command("status", short_help="Show whether it runs.")
@name_option
@shared_options
@click.pass_obj
def show_status(invocation: Invocation, name: str) -> None:
    """Show whether the engine runs, and how to use it by hand.

    \b
    Example:
      rtbuild engine status --json | jq -r .host
    """
    from rtbuild.engine.private import engine_status

    status = engine_status(invocation.settings().engine_dir, name)
    require_known(invocation, status)
    invocation.answer(as_document(status), status_text(status))


@engine.command("stop", short_help="End it.")
@name_option
@shared_options
@click.pass_obj
def engine_stop(invocation: Invocation, name: str) -> None:
    """End the engine and all it started. Its images and its cache stay.

    \b
    Example:
      rtbuild engine stop
    """
    from rtbuild.engine.private import engine_status, stop_engine

    folder = invocation.settings().engine_dir
    require_known(invocation, engine_status(folder, name))
    status = stop_engine(folder, name)
    invocation.answer(as_document(status), status_text(status))


def require_known(invocation: Invocation, status: EngineStatus) -> None:
    """Raise `RecipeError` for an engine that is neither unpacked here nor one of the workspace's."""
    if status.name != DEFAULT_NAME and not status.folder.exists():
        invocation.workspace().engine(status.name)


@engine.command("lock", short_help="Choose its packages anew.")
@name_option
@click.option("--platform", metavar="P", help="linux/amd64 or linux/arm64 [this machine's].")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the recipe changed since. Offline.")
@shared_options
@click.pass_obj
def engine_lock(invocation: Invocation, name: str, platform: str | None, check: bool) -> None:
    """Choose the engine's packages anew and write its lock.

    \b
    Examples:
      rtbuild engine lock --name testing
      rtbuild engine lock --check
    """
    from rtbuild.verbs.engine import fresh_engine_lock
    from rtbuild.verbs.lock import lock_engine

    workspace, target = invocation.workspace(), chosen_platform(platform)
    if check:
        fresh_engine_lock(workspace, name, target)
        path = workspace.engine_lock_path(name, target)
        fresh = {"engine": name, "platform": str(target), "fresh": True}
        invocation.answer(fresh, f"{workspace.relative(path)}: the lock fits its recipe")
        return
    with invocation.progress() as progress:
        result = lock_engine(workspace, name, platform=target, settings=invocation.settings(), progress=progress)
    packages = {deb.name: deb.version for deb in result.lock.debs}
    document = {"engine": name, "platform": str(target), "path": str(result.path), "packages": packages}
    listed = [f"  {package} {version}" for package, version in packages.items()]
    invocation.answer(document, "\n".join([f"{workspace.relative(result.path)}: written", *listed]))


def status_text(status: EngineStatus) -> str:
    """An engine's status for a reader."""
    if not status.running:
        return f"engine {status.name}: not running ({status.folder})"
    lines = [
        f"engine {status.name}: running, process {status.pid} ({status.folder})",
        f"by hand: DOCKER_CONFIG={status.config} {status.docker} -H {status.host} info",
        f"its log: {status.log}",
    ]
    return "\n".join(lines)
