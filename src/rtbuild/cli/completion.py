"""`rtbuild completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rtbuild.cli.group import shared_options
from rtbuild.cli.invocation import Invocation


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_obj
@click.pass_context
def completion(context: click.Context, invocation: Invocation, shell: str) -> None:
    """Print a script that completes commands, options, releases and packages in SHELL.

    \b
    Examples:
      source <(rtbuild completion bash)         # bash; zsh alike
      rtbuild completion fish > ~/.config/fish/completions/rtbuild.fish
    """
    shell_class = get_completion_class(shell)
    assert shell_class is not None  # click knows all three
    script = shell_class(context.find_root().command, {}, "rtbuild", "_RTBUILD_COMPLETE").source()
    invocation.answer({"shell": shell, "script": script}, script.rstrip("\n"))
