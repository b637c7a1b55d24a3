"""The image's config, composed from the `[image]` tables of layers and of the release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbuild.errors import RecipeError
from rtbuild.recipe.image import ImagePart, check_placeholders, compose_image, fill_placeholders, read_image_settings
from rtbuild.recipe.read import read_release
from rtbuild.recipe.table import Problems, Table
from tests.fakes import workspaces
from tests.fakes.workspaces import write_workspace


def test_image_parts_merge_and_the_later_layer_wins(tmp_path: Path) -> None:
    image = read_release(write_workspace(tmp_path), "8.0.0").image
    assert image.env == (("LANG", "C.UTF-8"), ("VERSION", "8.0.0 on Debian 11"), ("WHO", "airflow"))
    assert image.working_dir == "/usr/local/airflow"


def test_the_release_has_the_last_word_on_the_image(tmp_path: Path) -> None:
    root = write_workspace(
        tmp_path, release=workspaces.RELEASE + '\n[image]\nuser = "root"\nenv = { WHO = "release" }\n'
    )
    image = read_release(root, "8.0.0").image
    assert dict(image.env)["WHO"] == "release"
    assert image.user == "root"


VALUES = {"version": "8.0.0", "airflow": "2.6.0", "python": "3.9", "os": "Debian 11"}


def test_a_part_without_a_field_does_not_change_it() -> None:
    parts = (
        ImagePart(place="a", user="root", command=("bash",), labels=(("b", "1"), ("a", "{os}"))),
        ImagePart(place="b", command=(), labels=(("b", "2"),)),
    )
    image = compose_image(parts, VALUES)
    assert (image.user, image.command) == ("root", ())
    assert image.labels == (("a", "Debian 11"), ("b", "2"))


def test_placeholders() -> None:
    assert fill_placeholders("{airflow}-{python}, {airflow}", VALUES) == "2.6.0-3.9, 2.6.0"


JSON = {"a": 1, "b": {"c": "{d}"}, "airflow": "2.6.0"}


def test_a_brace_is_written_twice() -> None:
    """Airflow's connections and variables hold JSON."""
    text = '{{"a": 1, "b": {{"c": "{{d}}"}}, "airflow": "{airflow}"}}'
    problems = Problems("recipes/x.toml", RecipeError)
    check_placeholders(text, "image.env.A", problems)
    problems.raise_if_any()
    assert json.loads(fill_placeholders(text, VALUES)) == JSON
    assert fill_placeholders("{{{airflow}}} }}{{ {{airflow}}", VALUES) == "{2.6.0} }{ {airflow}"


@given(st.text(alphabet="{}a"), st.text(alphabet="{} "))
def test_any_text_can_be_written(before: str, after: str) -> None:
    text = before.replace("{", "{{").replace("}", "}}") + "{os}" + after.replace("{", "{{").replace("}", "}}")
    problems = Problems("recipes/x.toml", RecipeError)
    check_placeholders(text, "image.env.A", problems)
    problems.raise_if_any()
    assert fill_placeholders(text, VALUES) == f"{before}Debian 11{after}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(JSON), "unknown placeholder {d}"),
        (json.dumps(JSON), "single {"),
        ('{"a": 1}', 'unknown placeholder {"a": 1}'),
        ("{", "single {"),
        ("}", "single }"),
        ("{{}", "single }"),
        ("${HOME}", "unknown placeholder {HOME}"),
        ("{}", "unknown placeholder {}"),
    ],
)
def test_an_error_says_how_braces_are_written(text: str, told: str) -> None:
    problems = Problems("recipes/x.toml", RecipeError)
    check_placeholders(text, "image.env.A", problems)
    with pytest.raises(RecipeError) as caught:
        problems.raise_if_any()
    assert told in f"{caught.value.brief}\n{caught.value.details}"
    assert caught.value.hint == ("write {{ and }} for braces; known placeholders: {version}, {airflow}, {python}, {os}")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"working_dir": "usr"}, "image.working_dir: 'usr' is not an absolute path"),
        ({"env": {"1A": "x"}}, "image.env.1A: is not the name of an environment variable"),
        ({"labels": {"a": "{releaze}"}}, "image.labels.a: unknown placeholder {releaze}"),
        ({"entrypoint": "bash"}, "image.entrypoint: expected a list, found a string"),
        ({"usr": "root"}, "image.usr: unknown field"),
    ],
)
def test_bad_tables(content: dict[str, object], problem: str) -> None:
    problems = Problems("recipes/x.toml", RecipeError)
    read_image_settings(Table({"image": content}, problems).table("image"))
    with pytest.raises(RecipeError) as caught:
        problems.raise_if_any()
    assert caught.value.brief == f"recipes/x.toml: {problem}"
