"""The image's config, composed from the `[image]` tables of layers and of the release."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rtbuild.recipe.model import ImageSettings
from rtbuild.recipe.table import Problems, Table

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
"""A brace that is written twice, a placeholder, or a brace that is neither, in this order."""

PLACEHOLDERS = ("version", "airflow", "python", "os")
"""The fields of a release that `{...}` may name in an `[image]` table or a file's `content`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """One `[image]` table. A field that the table does not have is None or empty; `place` is for messages."""

    place: str
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    working_dir: str | None = None
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None


def read_image_settings(table: Table) -> ImagePart:
    """Read an `[image]` table; problems are noted for the table's file."""
    env = table.table("env")
    labels = table.table("labels")
    part = ImagePart(
        place=table.place,
        env=env.string_items(),
        labels=labels.string_items(),
        user=table.optional("user"),
        working_dir=table.optional("working_dir"),
        entrypoint=_words(table, "entrypoint"),
        command=_words(table, "command"),
        shell=_words(table, "shell"),
        on_build=_words(table, "on_build"),
    )
    table.finish()
    for name, _ in part.env:
        if not _VARIABLE.match(name):
            env.wrong(name, "is not the name of an environment variable")
    if part.working_dir is not None and not part.working_dir.startswith("/"):
        table.wrong("working_dir", f"{part.working_dir!r} is not an absolute path")
    for place, text in _texts(part, env, labels):
        check_placeholders(text, place, table.problems)
    return part


def compose_image(parts: Sequence[ImagePart], values: Mapping[str, str]) -> ImageSettings:
    """Merge `parts` in order and fill in the placeholders. A later part wins, field by field and variable by variable.

    Variables and labels are sorted, so that moving a line in a recipe does not change an image.
    """
    settings = ImageSettings()
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    for part in parts:
        env.update(part.env)
        labels.update(part.labels)
        for name in ("user", "working_dir", "entrypoint", "command", "shell", "on_build"):
            if (value := getattr(part, name)) is not None:
                settings = replace(settings, **{name: value})
    return replace(settings, env=_filled(env, values), labels=_filled(labels, values))


def check_placeholders(text: str, place: str, problems: Problems) -> None:
    """Note a problem for every `{...}` in `text` that does not name a field of the release, and for other braces.

    A brace itself is written twice, as in Python's format strings, so a text has one meaning.
    """
    known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
    reported: set[str] = set()
    for match in _BRACES.finditer(text):
        found = match[0]
        if found in ("{{", "}}") or match[1] in PLACEHOLDERS or found in reported:
            continue
        reported.add(found)
        problem = f"single {found}" if match[1] is None else f"unknown placeholder {found}"
        problems.add(place, problem, hint=f"write {{{{ and }}}} for braces; known placeholders: {known}")


def named_fields(text: str) -> tuple[str, ...]:
    """Return the fields of the release that `{...}` names in `text`."""
    return tuple(match[1] for match in _BRACES.finditer(text) if match[1])


def image_texts(part: ImagePart) -> tuple[str, ...]:
    """Return the texts of an `[image]` table in which `{...}` is filled in."""
    return tuple(text for _, text in (*part.env, *part.labels))


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with the release's fields in place of `{...}`, and one brace for two."""
    return _BRACES.sub(lambda match: match[0][0] if match[1] is None else values[match[1]], text)


def _filled(pairs: Mapping[str, str], values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, fill_placeholders(text, values)) for name, text in sorted(pairs.items()))


def _words(table: Table, name: str) -> tuple[str, ...] | None:
    return table.words(name) if table.known(name) else None


def _texts(part: ImagePart, env: Table, labels: Table) -> list[tuple[str, str]]:
    return [(env.at(name), text) for name, text in part.env] + [(labels.at(name), text) for name, text in part.labels]
