"""Strict reading of parsed TOML: every field is asked for by name, and what nobody asked for is an error.

All problems of a file are collected before the first is raised, so that one run shows all there is to mend.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from rtbuild.errors import RtbuildError

T = TypeVar("T")

RECIPE_HELP = "docs/reference/recipes.md says what each field takes"
"""The hint for a problem of a recipe that has none of its own."""

_FIRST_MOMENT = datetime.fromtimestamp(0, UTC)  # dates become seconds since then, in file headers too

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
    """What is wrong with one file. `file` is its name as the user knows it (relative to the workspace); `hint` is for
    problems that have none of their own. `by_hand` is False for a file that nobody should mend in an editor."""

    def __init__(
        self, file: str, error: type[RtbuildError], *, hint: str | None = RECIPE_HELP, by_hand: bool = True
    ) -> None:
        self.file = file
        self.by_hand = by_hand
        self._error = error
        self._hint = hint
        self._found: list[tuple[str, str | None]] = []

    def add(self, place: str, text: str, *, hint: str | None = None) -> None:
        """Note that the field at `place` (`suite[1].components`; empty for the file) is wrong."""
        where = f"{self.file}: {place}" if place else self.file
        self._found.append((f"{where}: {text}", hint))

    def raise_if_any(self) -> None:
        """Raise the first problem; `details` lists all where there are several."""
        if not self._found:
            return
        brief, hint = self._found[0]
        details = None
        if len(self._found) > 1:
            details = "\n".join(text if tip is None else f"{text} ({tip})" for text, tip in self._found)
            brief += f" (and {len(self._found) - 1} more)"
        raise self._error(brief, details=details, hint=hint or self._hint)


class Table:
    """One TOML table that is being read; `place` is its path inside the file.

    A getter returns the field's value. Where the field is missing or wrong it notes a problem and returns a neutral
    value, so that reading goes on. A default makes a field optional. `finish` reports the fields that were never read.
    """

    __slots__ = ("_content", "_known", "place", "problems")

    def __init__(self, content: Mapping[str, Any], problems: Problems, place: str = "") -> None:
        self._content = content
        self._known: set[str] = set()
        self.problems = problems
        self.place = place

    def at(self, name: str) -> str:
        """The path of the field `name` inside the file."""
        return f"{self.place}.{name}" if self.place else name

    def wrong(self, name: str, text: str, *, hint: str | None = None) -> None:
        """Note a problem with the field `name`."""
        self.problems.add(self.at(name), text, hint=hint)

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self._content

    def string(self, name: str, default: str | None = None) -> str:
        """A string that is not empty, unless the default is."""
        value = self._get(name, str, "" if default is None else default, required=default is None)
        if value == "" and default != "" and isinstance(self._content.get(name), str):
            self.wrong(name, "is empty")
        return value

    def optional(self, name: str) -> str | None:
        """A string that is not empty, or None where the field is missing."""
        return self.string(name) if self.known(name) else None

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """`true` or `false`."""
        return self._get(name, bool, bool(default), required=default is None)

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """A whole number of at least `minimum`."""
        value = self._get(name, int, minimum if default is None else default, required=default is None)
        if value < minimum:
            self.wrong(name, f"is {value}, at least {minimum} is expected")
        return value

    def moment(self, name: str) -> datetime:
        """A date and time with its offset, in UTC."""
        value = self._get(name, datetime, _FIRST_MOMENT, required=True)
        if value.tzinfo is None:
            self.wrong(name, "has no time zone", hint="write it in UTC: 2023-05-02T00:00:00Z")
            return value.replace(tzinfo=UTC)
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            self.wrong(name, f"{value.isoformat()} is no moment in UTC")
            return _FIRST_MOMENT
        if value < _FIRST_MOMENT:
            self.wrong(name, f"{value.isoformat()} is before 1970")
        return value

    def strings(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of strings, none of them empty or twice."""
        values = self.words(name, default)
        for index, value in enumerate(values):
            if value in values[:index]:
                self.wrong(f"{name}[{index}]", f"{value!r} is listed twice", hint="keep one of them")
        return values

    def words(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of strings, none of them empty, where one may come twice (`bash -e -e`)."""
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
        """A string that `parse` understands; its `ValueError` (or any rtbuild error) becomes a problem."""
        text = self.string(name)
        try:
            return parse(text) if text else neutral
        except RtbuildError as error:
            self.wrong(name, error.brief, hint=error.hint)
        except ValueError as error:
            self.wrong(name, f"{text!r}: {error}")
        return neutral

    def table(self, name: str, *, required: bool = False) -> Table:
        """A table; an empty one where the optional field is missing."""
        content = self._get(name, dict, {}, required=required)
        return Table(content, self.problems, self.at(name))

    def each(self) -> list[Table]:
        """The tables of a table whose field names are free (`[layers.python]`), in the file's order."""
        return [self.table(name) for name in self._content]

    def fields(self) -> tuple[str, ...]:
        """The field names of a table whose field names are free, in the file's order."""
        return tuple(self._content)

    def tables(self, name: str, *, required: bool = False) -> list[Table]:
        """A list of tables; empty where the optional field is missing."""
        values: list[Any] = self._get(name, list, [], required=required, example=_EXAMPLE_OF_TABLES)
        found = []
        for index, value in enumerate(values):
            if isinstance(value, dict):
                found.append(Table(value, self.problems, f"{self.at(name)}[{index}]"))
            else:
                hint = self._example(name, list, _EXAMPLE_OF_TABLES)
                self.wrong(f"{name}[{index}]", f"expected a table, found {_kind_of(value)}", hint=hint)
        return found

    def string_items(self) -> tuple[tuple[str, str], ...]:
        """Every field of a table whose field names are free (`[providers]`), as sorted (name, string) pairs."""
        return tuple((name, self.string(name, "")) for name in sorted(self._content))

    def known(self, name: str) -> bool:
        """Whether the optional field is there; counts as reading it."""
        self._known.add(name)
        return name in self._content

    def finish(self) -> None:
        """Note every field that was not asked for."""
        if self._known.issuperset(self._content):
            return
        for name in self._content:
            if name not in self._known:
                self.wrong(name, "unknown field", hint=near_name(name, self._known, "fields"))

    def _get(self, name: str, kind: type[T], neutral: T, *, required: bool, example: str | None = None) -> T:
        self._known.add(name)
        try:
            value = self._content[name]
        except KeyError:
            if required:
                hint = self._example(name, kind, example)
                self.wrong(name, f"is missing, {_KINDS[kind]} is expected", hint=hint)
            return neutral
        # bool is a subclass of int, datetime of date: only the very type is right.
        if type(value) is kind:
            return value
        hint = self._example(name, kind, example)
        self.wrong(name, f"expected {_KINDS[kind]}, found {_kind_of(value)}", hint=hint)
        return neutral

    def _example(self, name: str, kind: type, example: str | None = None) -> str | None:
        """How the field is spelt, where a person should mend it."""
        if not self.problems.by_hand:
            return None
        # Only a heading carries the names of the tables around it.
        heading = kind is dict or example is not None
        return f"write it as {(example or _EXAMPLES[kind]).format(self.at(name) if heading else name)}"


def near_name(name: str, known: Iterable[str], kind: str) -> str:
    """The hint for a name that is none of the `kind` that are known: the one that was meant, else all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known {kind}: {', '.join(known) or 'none'}"


def parse_toml(
    path: Path, name: str, error: type[RtbuildError], *, hint: str | None = None, mend: str | None = None
) -> dict[str, Any]:
    """The content of a TOML file; raises `error` where it is missing (with the hint `hint`), unreadable, or not TOML
    (with the hint `mend`)."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{name}: there is no such file", hint=hint) from None
    except OSError as cause:
        raise error(f"{name}: cannot be read: {cause.strerror}", hint="may you read the file?") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{name}: is not UTF-8 text (byte {cause.start})", hint=mend) from None
    except tomllib.TOMLDecodeError as cause:
        text = str(cause)
        raise error(f"{name}: is not valid TOML: {text[0].lower()}{text[1:]}", hint=mend) from None


def _kind_of(value: object) -> str:
    return "an empty string" if value == "" else _KINDS.get(type(value), type(value).__name__)
