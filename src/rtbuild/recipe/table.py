"""Strict reading of TOML: every field is read by name, and a field that nobody reads is an error.

All problems of a file are collected before the first is raised, so that one run shows everything there is to fix:

    content = parse_toml(path, "recipes/x.toml", RecipeError)
    problems = Problems("recipes/x.toml", RecipeError)
    table = Table(content, problems)
    title = table.string("title")           # a missing title is noted, and reading goes on
    for suite in table.tables("suite"):     # the place of a problem in it is `suite[0].name`
        name = suite.parsed("name", suite_name, "")
        suite.finish()                      # a field other than `name` is noted
    table.finish()
    problems.raise_if_any()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from rtbuild.documents import LARGEST_TOML
from rtbuild.documents import parse_toml as parse_document
from rtbuild.errors import RtbuildError
from rtbuild.files import read_regular
from rtbuild.text import name_hint

T = TypeVar("T")

RECIPE_HELP = "see docs/reference/recipes.md for the fields of recipes"
"""The hint for problems of recipes without a hint of their own."""

_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)  # what git, Mercurial and Subversion write
_MOST_PROBLEMS = 200
_FIRST_MOMENT = datetime.fromtimestamp(0, UTC)  # file headers hold seconds since then

_KINDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
    datetime: "a date and time",
    date: "a date",
}
_EXAMPLES: dict[type, str] = {
    str: '{} = "text"',
    bool: "{} = true",
    int: "{} = 1",
    list: '{} = ["one", "another"]',
    dict: "[{}]",
    datetime: "{} = 2023-05-02T00:00:00Z",
}
_EXAMPLE_OF_TABLES = "[[{}]]"


class Problems:
    """The problems of one file, collected until they are raised as one error.

    Args:
        file: The file's name in messages, relative to the workspace.
        error: The class of the error.
        hint: The hint for problems that have none of their own.
        by_hand: Whether people write the file: hints then show how to spell a field.
    """

    def __init__(
        self, file: str, error: type[RtbuildError], *, hint: str | None = RECIPE_HELP, by_hand: bool = True
    ) -> None:
        self.file = file
        self.by_hand = by_hand
        self._error = error
        self._hint = hint
        self._problems: list[tuple[str, str | None]] = []

    def add(self, place: str, text: str, *, hint: str | None = None) -> None:
        """Note a problem with the field at `place` (`suite[1].components`), or with the file if `place` is empty."""
        where = f"{self.file}: {place}" if place else self.file
        self._problems.append((f"{where}: {text}", hint))
        if len(self._problems) >= _MOST_PROBLEMS:
            self.raise_if_any()  # nobody reads more, and entries that repeat each other have quadratically many

    def raise_if_any(self) -> None:
        """Raise an error for the first problem; its `details` list all problems if there are several."""
        if not self._problems:
            return
        brief, hint = self._problems[0]
        details = None
        if len(self._problems) > 1:
            details = "\n".join(text if own is None else f"{text} ({own})" for text, own in self._problems)
            brief += f" (and {len(self._problems) - 1} more)"
        raise self._error(brief, details=details, hint=hint or self._hint)


class Table:
    """A TOML table that is being read; `place` is its path inside the file.

    A getter returns the field's value. If the field is missing or wrong, it notes a problem and returns a neutral
    value, so that reading goes on. A default makes a field optional. `finish` reports the fields that were never read.
    """

    __slots__ = ("_content", "_known", "place", "problems")

    def __init__(self, content: Mapping[str, Any], problems: Problems, place: str = "") -> None:
        self._content = content
        self._known: set[str] = set()
        self.problems = problems
        self.place = place

    def at(self, name: str) -> str:
        """Return the path of the field `name` inside the file."""
        return f"{self.place}.{name}" if self.place else name

    def wrong(self, name: str, text: str, *, hint: str | None = None) -> None:
        """Note a problem with the field `name`."""
        self.problems.add(self.at(name), text, hint=hint)

    def has(self, name: str) -> bool:
        """Return whether the field is there, without counting it as read."""
        return name in self._content

    def string(self, name: str, default: str | None = None) -> str:
        """Return a string; it may be empty only if the default is."""
        value = self._get(name, str, "" if default is None else default, required=default is None)
        if value == "" and default != "" and isinstance(self._content.get(name), str):
            self.wrong(name, "is empty")
        return value

    def optional(self, name: str) -> str | None:
        """Return a non-empty string, or None if the field is missing."""
        return self.string(name) if self.known(name) else None

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """Return a boolean."""
        return self._get(name, bool, bool(default), required=default is None)

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """Return a whole number of at least `minimum`."""
        value = self._get(name, int, minimum if default is None else default, required=default is None)
        if value < minimum:
            self.wrong(name, f"is {value}, expected at least {minimum}")
        return value

    def moment(self, name: str) -> datetime:
        """Return a date and time with an offset, converted to UTC."""
        value = self._get(name, datetime, _FIRST_MOMENT, required=True)
        if value.tzinfo is None:
            self.wrong(name, "has no time zone", hint="write it in UTC: 2023-05-02T00:00:00Z")
            return value.replace(tzinfo=UTC)
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            self.wrong(name, f"{value.isoformat()} is out of range in UTC")
            return _FIRST_MOMENT
        if value < _FIRST_MOMENT:
            self.wrong(name, f"{value.isoformat()} is before 1970")
        return value

    def strings(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return a list of strings, each of them non-empty and listed once."""
        values = self.words(name, default)
        for index, value in enumerate(values):
            if value in values[:index]:
                self.wrong(f"{name}[{index}]", f"{value!r} is listed twice", hint="keep one of them")
        return values

    def words(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return a list of non-empty strings, in which one may occur twice (`bash -e -e`)."""
        values = self._get(name, list, list(default or ()), required=default is None)
        good: list[str] = []
        for index, value in enumerate(values):
            if isinstance(value, str) and value:
                good.append(value)
            else:
                hint = self._example(name, list)
                self.wrong(f"{name}[{index}]", f"expected a string, found {_kind_of(value)}", hint=hint)
        return tuple(good)

    def parsed(self, name: str, parse: Callable[[str], T], neutral: T) -> T:
        """Return a string parsed by `parse`, whose `ValueError` or rtbuild error becomes a problem."""
        text = self.string(name)
        try:
            return parse(text) if text else neutral
        except RtbuildError as error:
            self.wrong(name, error.brief, hint=error.hint)
        except ValueError as error:
            self.wrong(name, f"{text!r}: {error}")
        return neutral

    def table(self, name: str, *, required: bool = False) -> Table:
        """Return a table; an empty one if the optional field is missing."""
        content = self._get(name, dict, {}, required=required)
        return Table(content, self.problems, self.at(name))

    def each(self) -> list[Table]:
        """Return the tables in a table whose field names are free (`[layers.python]`), in the file's order."""
        return [self.table(name) for name in self._content]

    def fields(self) -> tuple[str, ...]:
        """Return the field names of a table whose field names are free, in the file's order."""
        return tuple(self._content)

    def tables(self, name: str, *, required: bool = False) -> list[Table]:
        """Return a list of tables; empty if the optional field is missing."""
        values: list[Any] = self._get(name, list, [], required=required, example=_EXAMPLE_OF_TABLES)
        tables = []
        for index, value in enumerate(values):
            if isinstance(value, dict):
                tables.append(Table(value, self.problems, f"{self.at(name)}[{index}]"))
            else:
                hint = self._example(name, list, _EXAMPLE_OF_TABLES)
                self.wrong(f"{name}[{index}]", f"expected a table, found {_kind_of(value)}", hint=hint)
        return tables

    def string_items(self) -> tuple[tuple[str, str], ...]:
        """Return the fields of a table whose field names are free (`[providers]`), as sorted (name, string) pairs."""
        return tuple((name, self.string(name, "")) for name in sorted(self._content))

    def known(self, name: str) -> bool:
        """Return whether the optional field is there, and count it as read."""
        self._known.add(name)
        return name in self._content

    def finish(self) -> None:
        """Note a problem for every field that was not read."""
        if self._known.issuperset(self._content):
            return
        for name in self._content:
            if name not in self._known:
                self.wrong(name, "unknown field", hint=name_hint(name, self._known, "fields"))

    def _get(self, name: str, kind: type[T], neutral: T, *, required: bool, example: str | None = None) -> T:
        self._known.add(name)
        try:
            value = self._content[name]
        except KeyError:
            if required:
                hint = self._example(name, kind, example)
                self.wrong(name, f"is missing, expected {_KINDS[kind]}", hint=hint)
            return neutral
        # bool is a subclass of int, datetime of date: only the exact type is right.
        if type(value) is kind:
            return value
        hint = self._example(name, kind, example)
        self.wrong(name, f"expected {_KINDS[kind]}, found {_kind_of(value)}", hint=hint)
        return neutral

    def _example(self, name: str, kind: type, example: str | None = None) -> str | None:
        """The hint that shows how to write the field, if people write the file."""
        if not self.problems.by_hand:
            return None
        # Only a heading carries the names of the tables around it.
        heading = kind is dict or example is not None
        return f"write it as {(example or _EXAMPLES[kind]).format(self.at(name) if heading else name)}"


def parse_toml(
    path: Path, name: str, error: type[RtbuildError], *, missing: str | None = None, malformed: str | None = None
) -> dict[str, Any]:
    """Return the content of a TOML file.

    Args:
        path: The file.
        name: The file's name in messages.
        error: The class of errors.
        missing: The hint if the file does not exist.
        malformed: The hint if it is not UTF-8 text or not TOML.

    Raises:
        RtbuildError: as `error`, if the file is missing, unreadable or malformed.
    """
    try:
        content = read_regular(path, LARGEST_TOML)
    except FileNotFoundError:
        raise error(f"{name}: no such file", hint=missing) from None
    except OSError as cause:
        raise error(f"{name}: cannot be read: {cause.strerror}", hint="check the file's permissions") from cause
    try:
        return parse_document(content)
    except ValueError as cause:
        if conflict := _CONFLICT.search(content):
            line = content.count(b"\n", 0, conflict.start()) + 1
            hint = "resolve it, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>"
            raise error(f"{name}: line {line}: a conflict of a merge", hint=hint) from None
        raise error(f"{name}: {cause}", hint=malformed) from None


def _kind_of(value: object) -> str:
    return "an empty string" if value == "" else _KINDS.get(type(value), type(value).__name__)
