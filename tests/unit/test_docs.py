"""What the documentation promises about itself: it is complete, and what it shows exists."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import runpy
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import rtbuild
from rtbuild.cli.commands import rtbuild as command_line

ROOT = Path(__file__).parents[2]
PUBLIC_NAMES: list[str] = getattr(rtbuild, "__all__")  # noqa: B009  # made at run time: type checkers do not know it
PACKAGE = ROOT / "src" / "rtbuild"
PICTURE = ROOT / "docs" / "assets" / "architecture.svg"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def test_every_public_name_is_in_the_reference_once() -> None:
    pages = (ROOT / "docs" / "reference" / "library").glob("*.md")
    names = [name for page in pages for name in re.findall(r"^::: rtbuild\.(\w+)$", page.read_text(), re.MULTILINE)]
    assert Counter(names) == Counter(PUBLIC_NAMES), "docs/reference/library/: one `::: rtbuild.<name>` for each name"


def test_the_picture_of_the_architecture_is_up_to_date() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "architecture.py"))["picture"]()
    assert PICTURE.read_text(encoding="utf-8") == drawn, "run: python docs/architecture.py"


def test_the_picture_shows_every_room_of_the_contract_and_no_other() -> None:
    contract = {room for row in contract_rows() for room in row}
    assert set(drawn_rooms()) == contract == source_rooms()
    assert len(drawn_rooms()) == len(contract)


def test_every_import_follows_arrows_of_the_picture() -> None:
    arrows = drawn_arrows()
    for room, imported in sorted(source_imports()):
        assert imported in reachable(arrows, room), f"no path of arrows leads from {room} to {imported}"


def test_every_arrow_of_the_picture_is_an_import_that_the_contract_allows() -> None:
    row_of = {room: row for row, rooms in enumerate(contract_rows()) for room in rooms}
    imports = source_imports()
    for room, imported in drawn_arrows():
        assert (room, imported) in imports
        assert row_of[room] < row_of[imported], f"{imported} is not below {room}"


def test_the_table_of_rooms_describes_each_of_them() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("\n| room |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {room for cell in cells for room in re.findall(r"`(\w+)`", cell)} == source_rooms()


def test_no_room_has_the_name_of_a_public_function() -> None:
    functions = {name for name in PUBLIC_NAMES if callable(getattr(rtbuild, name))}
    assert not functions & source_rooms()


def test_fragments_of_the_changelog_are_named_after_what_they_are_about() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    for path in (ROOT / settings["directory"]).iterdir():
        assert re.fullmatch(rf"\+[a-z0-9][a-z0-9.-]*[a-z][a-z0-9.-]*\.({kinds})\.md", path.name), path.name
        assert path.read_text(encoding="utf-8").strip().endswith((".", ")")), path.name


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_on_a_page_exist(page: str) -> None:
    for line in shell_lines((ROOT / page).read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        starts = [index + 1 for index, word in enumerate(words) if word in ("|", "&&", ";", "exec")]
        for start in (0, *starts):
            command = list(itertools.takewhile(lambda word: word not in ("|", "&&", ";", ">"), words[start:]))
            while command and re.match(r"[A-Z_]+=", command[0]):
                del command[0]
            if command and Path(command[0]).name == "rtbuild":
                assert_usable(command, line)


def assert_usable(words: list[str], line: str) -> None:
    """Fail if `words`, the program first, have a command or an option that rtbuild does not have."""
    command: click.Command = command_line
    context = click.Context(command)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words[1:]:
        if isinstance(command, click.Group) and not word.startswith("-") and not re.fullmatch(r"[A-Z]+|\.|/\S*", word):
            found = command.get_command(context, word)
            assert found is not None, f"no such command: {line}"
            command, context = found, click.Context(found, parent=context)
            options |= {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
        elif word.startswith("-"):
            assert word.partition("=")[0] in options, f"no such option: {line}"


def shell_lines(text: str) -> Iterator[str]:
    """Yield the commands in the shell blocks of a page, with continued lines joined."""
    for _, language, block in FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())


def contract_rows() -> list[list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(item for item in settings["tool"]["importlinter"]["contracts"] if item["type"] == "layers")
    return [row.split(" | ") for row in contract["layers"] if row != "__main__"]


def drawn_rooms() -> list[str]:
    return re.findall(r'<g data-room="(\w+)">', PICTURE.read_text(encoding="utf-8"))


def drawn_arrows() -> list[tuple[str, str]]:
    return re.findall(r'<path data-from="(\w+)" data-to="(\w+)"', PICTURE.read_text(encoding="utf-8"))


def source_rooms() -> set[str]:
    modules = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    return modules | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


@functools.cache
def source_imports() -> set[tuple[str, str]]:
    """Return every (room, imported room) that an import statement of the package names."""
    rooms, found = source_rooms(), set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == "rtbuild":
                names = [f"rtbuild.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            parts = (name.split(".") for name in names)
            found |= {(room, part[1]) for part in parts if part[0] == "rtbuild" and len(part) > 1 and part[1] in rooms}
    return {(room, imported) for room, imported in found if room in rooms and room != imported}


def reachable(arrows: list[tuple[str, str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        room = waiting.pop()
        targets = {target for source, target in arrows if source == room} - seen
        seen |= targets
        waiting += targets
    return seen


@pytest.mark.parametrize(
    "line",
    [
        "  name: material",  # whose contents list also finds headings that begin with a digit
        "    - content.code.copy",
        "    - toc.follow",
        "      scheme: slate",
        "  - pymdownx.highlight",
    ],
)
def test_the_site_has_highlighted_code_with_copy_buttons_dark_mode_and_contents(line: str) -> None:
    """The lines are compared as text, since no dependency of the tests reads YAML."""
    assert f"\n{line}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("./bootstrap lint")]
    assert len(commands) == 1
    assert f"\n{commands[0]} " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
