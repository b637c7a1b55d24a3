"""Stanzas of Debian control files (Policy 5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")


def parse_stanza(text: str) -> dict[str, str]:
    """Return the fields of one stanza by lower-case name; field names are case-insensitive.

    Continuation lines keep their line breaks and lose the leading space.

    Raises:
        ValueError: if a line is neither a field nor a continuation.
    """
    fields: dict[str, list[str]] = {}
    name = ""
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        if line[0] in " \t":
            if not name:
                raise ValueError(f"{line[:200]!r} is a continuation line without a field")
            fields[name].append(line[1:])
            continue
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise ValueError(f"{line[:200]!r} is not a field")
        name = name.lower()
        fields[name] = [value.strip()]
    return {name: "\n".join(lines) for name, lines in fields.items()}


def source_package(fields: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and version of the source package of a binary package, whose stanza has these `fields`.

    Both are those of the binary package unless the field Source says otherwise (Debian Policy 5.6.1).

    Raises:
        ValueError: if the field is malformed.
    """
    name, version = fields.get("package", ""), fields.get("version", "")
    if "source" not in fields:
        return name, version
    match = _SOURCE.fullmatch(fields["source"])
    if match is None:
        raise ValueError(f"its Source {fields['source']!r} is not a name with an optional version")
    return match[1], match[2] or version
