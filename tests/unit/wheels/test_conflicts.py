"""Paths that several packages install: equal content is kept once, different content needs a decision."""

from __future__ import annotations

import pytest

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import BuildError
from rtbuild.recipe.model import PythonLayer
from rtbuild.wheels.conflicts import WheelFiles, dropped_paths, find_conflicts

SHARED = "/lib/shared.py"


def wheel(package: str, layer: str = "lower", **files: str) -> WheelFiles:
    contents = {f"/lib/{name.replace('__', '/')}.py": text for name, text in files.items()}

    def digest(path: str) -> Sha256:
        return sha256_bytes(contents[path].encode())

    return WheelFiles(package=package, layer=layer, files=contents.keys(), digest=digest)


def layers(*preferred: tuple[str, str], lower: tuple[tuple[str, str], ...] = ()) -> tuple[PythonLayer, ...]:
    return (
        PythonLayer(name="lower", title="", roots=(), preferred=lower),
        PythonLayer(name="upper", title="", roots=(), preferred=preferred),
    )


def test_packages_without_shared_paths_have_no_conflict() -> None:
    assert find_conflicts([wheel("a", one="1"), wheel("b", two="2")]) == ()


def test_equal_files_of_a_layer_are_kept_in_the_first_package() -> None:
    conflicts = find_conflicts([wheel(name, shared="x") for name in "abc"])
    assert [(conflict.path, conflict.equal) for conflict in conflicts] == [(SHARED, True)]
    assert dropped_paths(conflicts, layers()) == {"b": {SHARED}, "c": {SHARED}}


def test_equal_files_of_two_layers_are_kept_in_both() -> None:
    conflicts = find_conflicts(
        [wheel("a", shared="x"), wheel("b", "upper", shared="x"), wheel("c", "upper", shared="x")]
    )
    assert dropped_paths(conflicts, layers()) == {"c": {SHARED}}


def test_different_files_are_an_error_that_lists_all_of_them() -> None:
    conflicts = find_conflicts([wheel("a", shared="x", more="1"), wheel("b", shared="y", more="2")])
    with pytest.raises(BuildError, match="2 paths") as caught:
        dropped_paths(conflicts, layers())
    assert caught.value.details == "/lib/more.py: a, b\n/lib/shared.py: a, b"
    assert "preferred" in str(caught.value.hint)


def test_the_recipe_decides_within_a_layer() -> None:
    conflicts = find_conflicts([wheel("a", shared="x"), wheel("b", shared="y"), wheel("c", shared="z")])
    assert dropped_paths(conflicts, layers(lower=((SHARED, "b"),))) == {"a": {SHARED}, "c": {SHARED}}


def test_the_upper_layers_recipe_decides_between_layers() -> None:
    conflicts = find_conflicts([wheel("a", shared="x"), wheel("b", "upper", shared="y")])
    with pytest.raises(BuildError):
        dropped_paths(conflicts, layers(lower=((SHARED, "a"),)))
    assert dropped_paths(conflicts, layers((SHARED, "a"))) == {"b": {SHARED}}
    assert dropped_paths(conflicts, layers((SHARED, "b"))) == {}


def test_a_winner_that_does_not_install_the_path_is_an_error() -> None:
    conflicts = find_conflicts([wheel("a", shared="x"), wheel("b", shared="y")])
    with pytest.raises(BuildError) as caught:
        dropped_paths(conflicts, layers(lower=((SHARED, "zebra"),)))
    assert "zebra" in str(caught.value.details)


def test_a_file_against_a_folder_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"/lib/x\.py is a file in a and a folder in b"):
        find_conflicts(
            [wheel("a", x="1"), WheelFiles(package="b", layer="lower", files={"/lib/x.py/y"}, digest=sha256_of)]
        )


def sha256_of(path: str) -> Sha256:
    raise AssertionError("content does not matter here")
