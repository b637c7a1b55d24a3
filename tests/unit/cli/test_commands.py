"""Every help text: it is there, it teaches with an example that parses, and the reference shows it as it is."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from rtbuild.cli.commands import rtbuild
from tests.fakes.command_line import Run
from tests.fakes.help_pages import PAGE, commands, help_text, page


def test_the_reference_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "regenerate it with: python -m tests.fakes.help_pages"


@pytest.mark.parametrize(("path", "command"), commands())
def test_help_teaches_with_an_example_that_parses(path: str, command: click.Command) -> None:
    examples = re.findall(r"^    (rtbuild .*)$", help_text(command, path), re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(re.split(r" {2,}| [|>] ", example)[0])
        _parse(rtbuild, words)


def _parse(command: click.Command, words: list[str]) -> None:
    """Parse without running anything; raises `click.UsageError`."""
    name, *rest = words
    context = command.make_context(name, rest)
    if isinstance(command, click.Group):
        remaining = [*context._protected_args, *context.args]
        _, inner, rest = command.resolve_command(context, remaining)
        assert inner is not None
        if rest or not isinstance(inner, click.Group):
            _parse(inner, [remaining[0], *rest])


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_command_takes_help_and_shared_options(run: Run, path: str) -> None:
    words = path.split()[1:]
    result = run(*words, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: {path} ")
    if words not in ([], ["engine"], ["store"]):
        for option in ("--json", "--quiet", "--store", "--workspace"):
            assert option in result.stdout


def test_version(run: Run) -> None:
    assert re.fullmatch(r"rtbuild \S+\n", run("--version").stdout)
