"""Strict reading of TOML: values, and the problems that are noted."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from rtbuild.errors import LockError, RecipeError, UsageError
from rtbuild.recipe.table import RECIPE_HELP, Problems, Table, parse_toml

TEXT = 'write it as a = "text"'


def table(text: str, *, by_hand: bool = True) -> Table:
    return Table(tomllib.loads(text), Problems("x.toml", RecipeError, by_hand=by_hand))


def problems_of(table: Table) -> tuple[str, str | None]:
    """Return the brief and the hint of the table's problems."""
    with pytest.raises(RecipeError) as caught:
        table.problems.raise_if_any()
    return caught.value.brief, caught.value.hint


def test_good_values() -> None:
    good = table("""
        text = "a"
        yes = true
        number = 5
        moment = 2023-05-02T02:00:00+02:00
        names = ["b", "a"]
        words = ["-e", "-e"]
        [inner]
        text = "b"
        [[rows]]
        text = "c"
    """)
    assert (good.string("text"), good.boolean("yes"), good.integer("number")) == ("a", True, 5)
    assert good.moment("moment") == datetime(2023, 5, 2, tzinfo=UTC)
    assert (good.strings("names"), good.words("words")) == (("b", "a"), ("-e", "-e"))
    assert good.table("inner").string("text") == "b"
    assert [row.string("text") for row in good.tables("rows")] == ["c"]
    good.finish()
    good.problems.raise_if_any()


def test_defaults_of_missing_fields() -> None:
    empty = table("")
    assert (empty.string("a", "x"), empty.optional("b"), empty.boolean("c", True)) == ("x", None, True)
    assert (empty.integer("d", 7), empty.strings("e", ()), empty.tables("f")) == (7, (), [])
    assert empty.table("g").fields() == ()
    empty.problems.raise_if_any()


def test_tables_with_free_field_names() -> None:
    layers = table("[layers.b]\n[layers.a]").table("layers")
    assert (layers.fields(), [entry.place for entry in layers.each()]) == (("b", "a"), ["layers.b", "layers.a"])
    assert table('b = "2"\na = "1"').string_items() == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize(
    ("text", "read", "problem", "hint"),
    [
        ("", lambda table: table.string("a"), "a: is missing, expected a string", TEXT),
        ("a = 1", lambda table: table.string("a"), "a: expected a string, found a whole number", TEXT),
        ('a = ""', lambda table: table.string("a"), "a: is empty", RECIPE_HELP),
        ("a = 1", lambda table: table.boolean("a"), "a: expected true or false, found a whole number", None),
        ("a = true", lambda table: table.integer("a"), "a: expected a whole number, found true or false", None),
        ("a = -1", lambda table: table.integer("a"), "a: is -1, expected at least 0", RECIPE_HELP),
        ("a = 2023-05-02", lambda table: table.moment("a"), "a: expected a date and time, found a date", None),
        ("a = 2023-05-02T00:00:00", lambda table: table.moment("a"), "a: has no time zone", None),
        ("a = 1969-01-01T00:00:00Z", lambda table: table.moment("a"), "a: 1969-01-01T00:00:00+00:00 is before", None),
        ('a = ["x", 1]', lambda table: table.words("a"), "a[1]: expected a string, found a whole number", None),
        ('a = ["x", ""]', lambda table: table.words("a"), "a[1]: expected a string, found an empty string", None),
        ('a = ["x", "x"]', lambda table: table.strings("a"), "a[1]: 'x' is listed twice", "keep one of them"),
        ('a = "x"', lambda table: table.parsed("a", int, 0), "a: 'x': invalid literal", None),
        ("a = [1]", lambda table: table.tables("a"), "a[0]: expected a table, found a whole number", None),
        ("[b]\na = 1", lambda table: table.table("b").tables("a"), "b.a: expected a list", "write it as [[b.a]]"),
        ("", lambda table: table.table("a", required=True), "a: is missing, expected a table", "write it as [a]"),
    ],
)
def test_bad_values(text: str, read: Callable[[Table], object], problem: str, hint: str | None) -> None:
    bad = table(text)
    read(bad)
    brief, found = problems_of(bad)
    assert brief.startswith(f"x.toml: {problem}")
    assert hint is None or found == hint


def test_an_error_of_a_parser_keeps_its_hint() -> None:
    def parse(text: str) -> str:
        raise UsageError("unknown", hint="known: a")

    bad = table('a = "x"')
    assert bad.parsed("a", parse, "neutral") == "neutral"
    assert problems_of(bad) == ("x.toml: a: unknown", "known: a")


def test_a_moment_that_is_out_of_range_in_utc() -> None:
    moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-1)))
    bad = Table({"a": moment}, Problems("x.toml", RecipeError))
    bad.moment("a")
    assert problems_of(bad)[0] == "x.toml: a: 9999-12-31T23:59:59-01:00 is out of range in UTC"


def test_files_that_people_do_not_write_get_no_examples() -> None:
    bad = table("", by_hand=False)
    bad.string("a")
    assert problems_of(bad) == ("x.toml: a: is missing, expected a string", RECIPE_HELP)


def test_fields_that_nobody_reads() -> None:
    bad = table("title = 1\ntitel = 1\n")
    bad.known("title")
    bad.finish()
    assert problems_of(bad) == ("x.toml: titel: unknown field", "did you mean 'title'?")


def test_all_problems_are_listed() -> None:
    problems = Problems("x.toml", RecipeError, hint="see the docs")
    problems.add("", "is strange")
    problems.add("a", "is wrong", hint="fix it")
    with pytest.raises(RecipeError) as caught:
        problems.raise_if_any()
    assert (caught.value.brief, caught.value.hint) == ("x.toml: is strange (and 1 more)", "see the docs")
    assert caught.value.details == "x.toml: is strange\nx.toml: a: is wrong (fix it)"


def test_toml_1_1_is_read_under_every_python(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('table = {\n  text = "\\x41",\n}\nmoment = 2023-05-02T02:00Z\n')
    content = parse_toml(path, "x.toml", RecipeError)
    assert content == {"table": {"text": "A"}, "moment": datetime(2023, 5, 2, 2, tzinfo=UTC)}


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        parse_toml(tmp_path / "x.toml", "x.toml", LockError, missing="create it", malformed="fix it")
    assert (caught.value.brief, caught.value.hint) == ("x.toml: no such file", "create it")


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        parse_toml(tmp_path, "x.toml", LockError)
    assert (caught.value.brief, caught.value.hint) == (
        "x.toml: cannot be read: Is a directory",
        "check the file's permissions",
    )


@pytest.mark.parametrize(
    ("content", "brief"),
    [(b"a = \xff", "x.toml: is not UTF-8 text (byte 4)"), (b"a = ", "x.toml: is not valid TOML: invalid value")],
)
def test_a_malformed_file(tmp_path: Path, content: bytes, brief: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(LockError) as caught:
        parse_toml(path, "x.toml", LockError, missing="create it", malformed="fix it")
    assert caught.value.brief.startswith(brief)
    assert caught.value.hint == "fix it"


def test_a_conflict_of_a_merge_has_its_own_hint(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("a = 1\n<<<<<<< HEAD\nb = 2\n=======\nb = 3\n>>>>>>> newer\n")
    with pytest.raises(LockError) as caught:
        parse_toml(path, "x.toml", LockError, malformed="fix it")
    assert caught.value.brief == "x.toml: line 2: a conflict of a merge"
    assert caught.value.hint == "resolve it, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>"
    path.write_text('a = """\n<<<<<<< HEAD\n"""\n')
    assert parse_toml(path, "x.toml", LockError) == {"a": "<<<<<<< HEAD\n"}
