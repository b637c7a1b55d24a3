"""The reference of the command line, made from its help texts: `python -m tests.fakes.help_pages` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from rtbuild.cli.commands import rtbuild

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

HEAD = """\
# Command line

What `--help` says, command by command. (Written by `python -m tests.fakes.help_pages`; a test compares.)

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it failed; `error:` says what and where, `cause:` why, `hint:` how to mend it |
| 2 | the command line or a setting cannot be understood |
| 3 | what came out is not what the lock says |
| 130 | interrupted, by Ctrl-C or SIGTERM |

With `--json` stdout holds exactly one JSON object, also for an error (`error`, `cause`, `hint`, `exit_code`). Progress
goes to stderr: live lines on a terminal, plain lines elsewhere, nothing with `-q`.

`build --json` answers with `release`, `platform`, `image_id`, `manifest_digest`, `matches_lock`, `layers` (each with
`name`, `key`, `diff_id`, `size`, `state`), `seconds` and more; `plan --json` with `release`, `platform` and `layers`
(each with `name`, `key`, `state`, `reason`). Several platforms in one `build` are a list, `builds`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for path, command in _commands(rtbuild, "rtbuild"):
        parts.append(f"## {path}\n\n```text\n{help_text(command, path)}\n```\n")
    return "\n".join(parts)


def help_text(command: click.Command, path: str) -> str:
    """The help of a command at 100 columns."""
    context = click.Context(command, info_name=path, terminal_width=100, help_option_names=["-h", "--help"])
    return command.get_help(context)


def commands() -> list[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    return list(_commands(rtbuild, "rtbuild"))


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
