"""`rtbuild init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtbuild.cli.document import as_document
from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import FOLDER, platform_option
from rtbuild.errors import UsageError

if TYPE_CHECKING:
    from rtbuild.platform import Platform
    from rtbuild.recipe.templates import WorkspaceKind
    from rtbuild.verbs.init import InitResult


@click.command(short_help="Write a minimal workspace.")
@click.argument("folder", type=FOLDER, metavar="[DIR]", required=False)
@click.option("--debian", is_flag=True, help="Debian packages alone.")
@click.option("--python", is_flag=True, help="Debian and Python packages  [default]")
@click.option("--airflow", is_flag=True, help="Debian, Python and Airflow.")
@platform_option
@shared_options
@click.pass_obj
def init(
    invocation: Invocation,
    folder: Path | None,
    debian: bool,
    python: bool,
    airflow: bool,
    platform: Platform | None,
) -> None:
    """Write a minimal workspace into DIR, the current folder by default: recipes of Debian 13, and one release.

    Nothing is overwritten. The comments in the recipes say what can be changed; images are called after the folder.

    \b
    Example:
      rtbuild init weather
      cd weather
      rtbuild lock 1.0
      rtbuild build 1.0 --load
    """
    from rtbuild.verbs.init import init as write_workspace

    if debian + python + airflow > 1:
        raise UsageError("give one of --debian, --python and --airflow", hint="leave the others out")
    if invocation.workspace_folder is not None:
        raise UsageError("init makes a workspace: --workspace cannot name one", hint="rtbuild init DIR")
    kind: WorkspaceKind = "debian" if debian else "airflow" if airflow else "python"
    result = write_workspace(folder or Path.cwd(), kind=kind, platform=platform)
    document = as_document(result)
    document["workspace"] = str(result.workspace.root)
    invocation.answer(document, init_text(result))


def init_text(result: InitResult) -> str:
    """Return what was written, and the commands to go on with."""
    root = result.workspace.root
    change = [] if root == Path.cwd() else [f"cd {shlex.quote(str(root))}"]
    series = result.release.rpartition(".")[0]
    commands = [
        *change,
        f"rtbuild lock {series}",
        "rtbuild engine lock    # only if this machine has no Docker",
        f"rtbuild build {series} --load",
    ]
    written = "\n".join(f"  {path}" for path in result.files)
    return f"wrote {root}\n{written}\n\nnext:\n" + "\n".join(f"  {command}" for command in commands)
