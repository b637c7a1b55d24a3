"""How a failure is printed: `error:`, `cause:` and `hint:` lines, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import click

from rtbuild.cli.invocation import Invocation
from rtbuild.cli.text import encodable
from rtbuild.errors import RtbuildError, UsageError
from rtbuild.text import printable

INTERRUPTED = 130
"""The exit code that a shell reports for a program ended by SIGINT."""

BROKEN_PIPE = 141
"""The exit code that a shell reports for a program ended by SIGPIPE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure as the command line reports it. `causes` may have several lines each."""

    brief: str
    causes: tuple[str, ...] = ()
    hint: str | None = None
    exit_code: int = 1

    @classmethod
    def of_error(cls, error: RtbuildError) -> Failure:
        """The failure that `error` describes."""
        return cls(brief=error.brief, causes=tuple(_causes(error)), hint=error.hint, exit_code=error.exit_code)

    @classmethod
    def of_usage(cls, error: click.UsageError) -> Failure:
        """A command line that cannot be parsed."""
        command = error.ctx.command_path if error.ctx else "rtbuild"
        message = error.format_message().rstrip(".")
        return cls(
            brief=message[:1].lower() + message[1:], hint=f"see: {command} --help", exit_code=UsageError.exit_code
        )

    @classmethod
    def of_os_error(cls, error: OSError) -> Failure:
        """A system call that failed without a word of rtbuild about it."""
        place = f": {error.filename}" if error.filename else ""
        return cls(brief=f"{error.strerror or error}{place}")

    @classmethod
    def of_bug(cls, error: Exception) -> Failure:
        """An exception that nobody foresaw."""
        hint = "this is a bug in rtbuild; please report it with the lines above"
        return cls(brief=f"{type(error).__name__}: {error}", hint=hint)


def print_failure(failure: Failure, invocation: Invocation) -> int:
    """Print `failure` on stderr, or as the one JSON object on stdout, and return its exit code.

    With `--traceback` the exception that is being handled is printed first, on stderr. What stdout cannot take goes to
    stderr; what stderr cannot take is lost.
    """
    if invocation.traceback:
        import traceback

        traceback.print_exc()
    if not (invocation.json and _print_document(failure)):
        with suppress(OSError):
            _print_lines(failure)
    return failure.exit_code


def _print_document(failure: Failure) -> bool:
    """Print `failure` as JSON; return whether stdout took it."""
    document = {
        "error": failure.brief,
        "cause": "\n".join(failure.causes) or None,
        "hint": failure.hint,
        "exit_code": failure.exit_code,
    }
    try:
        click.echo(encodable(json.dumps(document, indent=2, ensure_ascii=False)))
    except OSError:
        return False
    return True


def _print_lines(failure: Failure) -> None:
    click.echo(f"error: {printable(failure.brief)}", err=True)
    for cause in failure.causes:
        _print_indented("cause: ", cause)
    if failure.hint:
        _print_indented("hint: ", failure.hint)


def _print_indented(label: str, text: str) -> None:
    # A cause may quote a log, which may have tabs and colours, or a file of a stranger.
    first, *more = (printable(line.expandtabs()) for line in text.strip("\n").split("\n"))
    click.echo(f"{label}{first}", err=True)
    for line in more:
        click.echo(f"{' ' * len(label)}{line}", err=True)


def _causes(error: RtbuildError) -> Iterator[str]:
    """The details of `error`, or the errors that it was raised from."""
    if error.details:
        yield error.details
        return
    cause = error.__cause__
    while cause is not None:
        yield cause.brief if isinstance(cause, RtbuildError) else str(cause) or type(cause).__name__
        cause = cause.__cause__
