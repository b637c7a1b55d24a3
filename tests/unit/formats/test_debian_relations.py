"""Parsing relations between Debian packages."""

from __future__ import annotations

import pytest

from rtbuild.formats.debian_relations import Relation, parse_relations


def test_parses_a_field_into_groups_of_alternatives() -> None:
    assert parse_relations("libc6 (>= 2.30), python3:any (<<3.10) | python3.9,\n foo") == (
        (Relation("libc6", ">=", "2.30"),),
        (Relation("python3", "<<", "3.10", "any"), Relation("python3.9")),
        (Relation("foo"),),
    )


def test_accepts_an_empty_field_and_a_trailing_comma() -> None:
    assert parse_relations("") == ()
    assert parse_relations("a, ") == ((Relation("a"),),)


def test_old_operators_are_inclusive() -> None:
    assert parse_relations("a (< 1), b (> 1)") == ((Relation("a", "<=", "1"),), (Relation("b", ">=", "1"),))


def test_formats_a_relation_as_control_files_do() -> None:
    text = "python3:any (<< 3.10)"
    assert str(parse_relations(text)[0][0]) == text


@pytest.mark.parametrize("text", ["a b", "a (1.0)", "a (= )", "(= 1)", "a |", "a (= 1_0)", "a (>= 1", "-a"])
def test_rejects_what_is_not_a_relation(text: str) -> None:
    with pytest.raises(ValueError):
        parse_relations(text)


def test_a_relation_without_a_version_accepts_every_version() -> None:
    assert Relation("a").accepts("0~")
    assert Relation("a", ">=", "1").accepts("1")
    assert not Relation("a", ">>", "1").accepts("1")
