"""The frame around every command: shared options, lazy loading, and one way to end in failure."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import click

from rtbuild.cli.failure import BROKEN_PIPE, INTERRUPTED, Failure, print_failure
from rtbuild.cli.invocation import Invocation, ReaderGone
from rtbuild.cli.options import FOLDER
from rtbuild.errors import RtbuildError

F = TypeVar("F", bound=Callable[..., Any])


def _keep(field: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback that keeps an option's value as `field` of the invocation."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Invocation), field, value)

    return callback


def _start_logging(context: click.Context, parameter: click.Parameter, value: int) -> None:
    if value:
        from rtbuild.cli.log import start_logging  # most runs log nothing

        context.ensure_object(Invocation).verbose = value
        start_logging(value)


def shared_options(command: F) -> F:
    """Add the options that may stand before or after the command's name."""
    options = (
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_keep("json"),
            help="Print one JSON object on stdout, errors included.",
        ),
        click.option(
            "--progress",
            type=click.Choice(["auto", "plain", "tty", "quiet"]),
            expose_value=False,
            callback=_keep("progress_mode"),
            help="How to report progress on stderr  [default: auto]",
        ),
        click.option(
            "-q",
            "--quiet",
            flag_value="quiet",
            expose_value=False,
            callback=_keep("progress_mode"),
            help="Report no progress; short for --progress quiet.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_start_logging,
            help="Log what is done on stderr; -vv logs more.",
        ),
        click.option(
            "--traceback",
            is_flag=True,
            expose_value=False,
            callback=_keep("traceback"),
            help="Print a Python traceback with every error.",
        ),
        click.option(
            "--store",
            type=FOLDER,
            metavar="DIR",
            expose_value=False,
            callback=_keep("store_folder"),
            help="The folder for everything rtbuild keeps  [env: RTBUILD_STORE]",
        ),
        click.option(
            "--workspace",
            type=FOLDER,
            metavar="DIR",
            expose_value=False,
            callback=_keep("workspace_folder"),
            help="The folder with recipes/ and runtime.lock/  [default: the nearest one upwards]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _flush() -> None:
    """Flush stdout and stderr. What they cannot take is lost: the interpreter would change the exit code for it."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:  # it is closed
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


class Group(click.Group):
    """A group that lists its commands in the order of a day's work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class Root(Group):
    """The root of the command line. A command's module is imported when the command is run or listed.

    Its `main` ends every failure with one message and the exit code that fits. `lazy` names where each command is:
    a module, and after a colon its name there.
    """

    lazy: Mapping[str, str] = MappingProxyType({})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.lazy[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            suggestion = f". Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}{suggestion}")
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        # An error in the arguments themselves must be JSON as well, before the option is parsed.
        invocation = Invocation(json="--json" in arguments)
        options.update(standalone_mode=False, obj=invocation)
        code = 0
        try:
            outcome = super().main(arguments, *rest, **options)
            code = outcome if isinstance(outcome, int) else 0
        except ReaderGone:
            code = BROKEN_PIPE
        except (KeyboardInterrupt, click.Abort):
            code = print_failure(Failure(brief="interrupted", exit_code=INTERRUPTED), invocation)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = 2
        except click.UsageError as error:
            code = print_failure(Failure.of_usage(error), invocation)
        except RtbuildError as error:
            code = print_failure(Failure.of_error(error), invocation)
        except OSError as error:
            code = print_failure(Failure.of_os_error(error), invocation)
        except Exception as error:
            invocation.traceback = True  # a bug of rtbuild: its report needs the traceback
            code = print_failure(Failure.of_bug(error), invocation)
        _flush()
        sys.exit(code)
