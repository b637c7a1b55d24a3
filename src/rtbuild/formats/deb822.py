"""Stanzas of Debian control files (Policy 5.1)."""

from __future__ import annotations


def parse_stanza(text: str) -> dict[str, str]:
    """Return the fields of one stanza by lower-case name; field names are case-insensitive.

    Continuation lines keep their line breaks and lose the leading space.

    Raises:
        ValueError: if a line is neither a field nor a continuation.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        if line[0] in " \t":
            if not name:
                raise ValueError(f"{line!r} is a continuation line without a field")
            fields[name] += "\n" + line[1:]
            continue
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise ValueError(f"{line!r} is not a field")
        name = name.lower()
        fields[name] = value.strip()
    return fields
