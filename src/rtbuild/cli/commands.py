"""The root of the command line and the order in which its commands are told."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

from rtbuild.cli.build_commands import build, plan, verify
from rtbuild.cli.contract_commands import test
from rtbuild.cli.engine_commands import engine
from rtbuild.cli.group import Group, shared_options
from rtbuild.cli.lock_commands import export, fetch, lock, why
from rtbuild.cli.place_commands import list_releases, mirrors, store
from rtbuild.cli.size_commands import size


def installed_version() -> str:
    """The version of the installed rtbuild; `unknown` when it runs from a tree that was never installed."""
    try:
        return version("rtbuild")
    except PackageNotFoundError:
        return "unknown"


def show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the version and end."""
    if value:
        click.echo(f"rtbuild {installed_version()}")
        context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Print the version."
)
@shared_options
def rtbuild() -> None:
    """Build Airflow runtime images that are a function of a lock file.

    RELEASE is a version such as 8.0.0, or a series such as 8.0, which means its newest release that has a recipe.

    \b
    A day's work:
      rtbuild list             what there is
      rtbuild lock 8.0         choose every package, write the lock
      rtbuild plan 8.0         what would be built, and why
      rtbuild build 8.0        build it, compare it with the lock
      rtbuild verify 8.0       build it again from nothing, and compare
      rtbuild test 8.0         try in containers what the image promises

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reproducible.
    """


COMMANDS: tuple[click.Command, ...] = (
    list_releases,
    lock,
    fetch,
    plan,
    build,
    verify,
    test,
    size,
    why,
    export,
    mirrors,
    engine,
    store,
)

for command in COMMANDS:
    rtbuild.add_command(command)
