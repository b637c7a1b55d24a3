"""Stanzas of Debian control files (Policy 5.1)."""

from __future__ import annotations


def parse_stanza(text: str) -> dict[str, str]:
    """The fields of one stanza by lower-case name (field names have no case). Continuation lines keep their line
    breaks, without the leading space. Raises `ValueError` for a line that is neither field nor continuation."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        if line[0] in " \t":
            if not name:
                raise ValueError(f"{line!r} continues no field")
            fields[name] += "\n" + line[1:]
            continue
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise ValueError(f"{line!r} is no field")
        name = name.lower()
        fields[name] = value.strip()
    return fields
