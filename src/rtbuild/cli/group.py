"""The frame around every command: shared options, and how a failure is told."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from rtbuild.cli.invocation import Invocation, ReaderGone
from rtbuild.errors import RtbuildError

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
"""What a shell reports of a program that SIGINT ended."""

BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended."""


def shared_options(command: F) -> F:
    """The options that may stand before or after the command's name."""

    def store(field: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
            if value:
                setattr(context.ensure_object(Invocation), field, value)

        return callback

    folder = click.Path(file_okay=False, path_type=Path)
    options = (
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=store("json"),
            help="Answer with exactly one JSON object on stdout, errors too.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=store("quiet"),
            help="No progress on stderr.",
        ),
        click.option(
            "--store",
            type=folder,
            metavar="DIR",
            expose_value=False,
            callback=store("store_folder"),
            help="The folder that holds everything rtbuild keeps [RTBUILD_STORE].",
        ),
        click.option(
            "--workspace",
            type=folder,
            metavar="DIR",
            expose_value=False,
            callback=store("workspace_folder"),
            help="The folder with recipes/ and runtime.lock/ [the nearest one upwards].",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class Group(click.Group):
    """A group whose `main` ends every failure with one message and the exit code that fits.

    It lists its commands in the order of a day's work, not of the alphabet.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        invocation = Invocation(json="--json" in arguments)
        options.update(standalone_mode=False, obj=invocation)
        code = 0
        try:
            outcome = super().main(arguments, *rest, **options)
            code = outcome if isinstance(outcome, int) else 0
        except ReaderGone:
            # The reader of our output is gone; keep the interpreter from complaining when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = BROKEN_PIPE
        except (KeyboardInterrupt, click.Abort):
            code = tell(invocation, "interrupted", (), None, INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = 2
        except click.UsageError as error:
            code = tell(invocation, error.format_message(), (), usage_hint(error), 2)
        except RtbuildError as error:
            code = tell(invocation, error.brief, causes(error), error.hint, error.exit_code)
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            code = tell(invocation, f"{error.strerror or error}{place}", (), None, 1)
        except Exception as error:
            # Not a failure that anybody foresaw: the traceback is what a report of it needs.
            traceback.print_exc()
            hint = "this is a fault of rtbuild: please report it with the lines above"
            code = tell(invocation, f"{type(error).__name__}: {error}", (), hint, 1)
        sys.exit(code)


def causes(error: RtbuildError) -> Iterator[str]:
    """What led to `error`: its details, or the errors it was raised from."""
    if error.details:
        yield error.details
        return
    cause = error.__cause__
    while cause is not None:
        yield cause.brief if isinstance(cause, RtbuildError) else str(cause) or type(cause).__name__
        cause = cause.__cause__


def usage_hint(error: click.UsageError) -> str:
    """Where to read how the command is called."""
    command = error.ctx.command_path if error.ctx else "rtbuild"
    return f"see: {command} --help"


def tell(
    invocation: Invocation, brief: str, details: Sequence[str] | Iterator[str], hint: str | None, code: int
) -> int:
    """Say what went wrong, on stderr or as the one JSON object, and return `code`."""
    listed = list(details)
    if invocation.json:
        document = {"error": brief, "cause": "\n".join(listed) or None, "hint": hint, "exit_code": code}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return code
    click.echo(f"error: {brief}", err=True)
    for detail in listed:
        first, *more = detail.strip("\n").split("\n")
        click.echo(f"cause: {first}", err=True)
        for line in more:
            click.echo(f"       {line}", err=True)
    if hint:
        first, *more = hint.strip("\n").split("\n")
        click.echo(f"hint: {first}", err=True)
        for line in more:
            click.echo(f"      {line}", err=True)
    return code
