"""Relations between Debian packages (Policy chapter 7): `a (>= 1) | b:any, c`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rtbuild.formats.debian_versions import version_key, version_satisfies

_RELATION = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9.+_-]*)"
    r"(?::(?P<qualifier>[a-z0-9-]+))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s()]+)\s*\))?\s*"
)

# Deprecated spellings of the inclusive relations (Policy 7.1).
_OLD_OPERATORS = {"<": "<=", ">": ">="}


@dataclass(frozen=True, slots=True)
class Relation:
    """A package that a relation field names.

    `operator` and `version` are empty if any version will do; `qualifier` is what follows a colon: `any` or an
    architecture.
    """

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def accepts(self, version: str) -> bool:
        """Return whether this relation allows `version`."""
        return not self.operator or version_satisfies(version, self.operator, self.version)

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        version = f" ({self.operator} {self.version})" if self.operator else ""
        return self.name + qualifier + version


Alternatives = tuple[Relation, ...]
"""Relations of which any is enough (`a | b`), the preferred one first."""


@lru_cache(maxsize=65536)
def parse_relations(text: str) -> tuple[Alternatives, ...]:
    """Return the relations of a field, each with its alternatives.

    Raises:
        ValueError: if part of the field is not a relation; the message quotes it.
    """
    return tuple(
        tuple(_parse_relation(alternative) for alternative in group.split("|"))
        for group in text.split(",")
        if group.strip()  # dpkg accepts a trailing comma too
    )


def _parse_relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a relation to a package")
    operator, version = match["operator"] or "", match["version"] or ""
    if version:
        version_key(version)
    return Relation(match["name"], _OLD_OPERATORS.get(operator, operator), version, match["qualifier"] or "")
