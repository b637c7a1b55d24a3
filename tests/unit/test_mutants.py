"""The mutants of `nox -s mutants`, which takes minutes, still fit the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import PROJECT, Mutant, read_mutants

MUTANTS = {mutant.name: mutant for mutant in read_mutants([])}


def test_each_mutant_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) == len(read_mutants([]))


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_code_has_what_a_mutant_breaks_once(mutant: Mutant) -> None:
    text = (PROJECT / "src" / "rtbuild" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.original) == 1
    assert mutant.mutated != mutant.original
    ast.parse(text.replace(mutant.original, mutant.mutated))


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_tests_of_a_mutant_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests.split():
        path, _, name = test.partition("::")
        assert (PROJECT / path).exists()
        assert not name or name in functions(PROJECT / path)


def functions(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
