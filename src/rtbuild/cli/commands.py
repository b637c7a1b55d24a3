"""The root of the command line, and where each command is."""

from __future__ import annotations

import click

from rtbuild.cli.group import Root, shared_options


def show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the version and end."""
    if value:
        import rtbuild

        click.echo(f"rtbuild {rtbuild.__version__}")
        context.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Print the version and exit.",
)
@shared_options
def rtbuild() -> None:
    """Build Airflow runtime images that are a function of a lockfile.

    RELEASE is a version such as 8.0.0, or a series such as 8.0, which stands for its newest release.

    \b
    A day's work:
      rtbuild init             write a workspace of your own
      rtbuild list             list the releases
      rtbuild lock 8.0         choose every package, write the lockfile
      rtbuild plan 8.0         show which layers would be built, and why
      rtbuild build 8.0        build the image, compare it with the lock
      rtbuild verify 8.0       rebuild it from nothing, compare
      rtbuild check 8.0        check in containers what the image promises

    Exit codes: 0 done, 1 failed, 2 usage error, 3 not reproducible.
    """


assert isinstance(rtbuild, Root)
rtbuild.lazy = {
    "init": "rtbuild.cli.init:init",
    "list": "rtbuild.cli.list:list_releases",
    "lock": "rtbuild.cli.lock:lock",
    "fetch": "rtbuild.cli.fetch:fetch",
    "plan": "rtbuild.cli.plan:plan",
    "build": "rtbuild.cli.build:build",
    "verify": "rtbuild.cli.verify:verify",
    "check": "rtbuild.cli.check:check",
    "test": "rtbuild.cli.check:test",
    "size": "rtbuild.cli.size:size",
    "why": "rtbuild.cli.why:why",
    "export": "rtbuild.cli.export:export",
    "mirrors": "rtbuild.cli.mirrors:mirrors",
    "engine": "rtbuild.cli.engine:engine",
    "store": "rtbuild.cli.store:store",
    "completion": "rtbuild.cli.completion:completion",
}
