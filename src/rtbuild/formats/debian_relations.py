"""Relations between packages (Policy chapter 7): `a (>= 1) | b:any, c`."""

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

# Deprecated spellings that mean the inclusive relation (Policy 7.1).
_OLD_OPERATORS = {"<": "<=", ">": ">="}


@dataclass(frozen=True, slots=True)
class Relation:
    """One package as a relation names it. `operator` and `version` are empty where any version will do; `qualifier`
    is what follows a colon (`any`, an architecture)."""

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def accepts(self, version: str) -> bool:
        """Whether `version` is one that this relation means."""
        return not self.operator or version_satisfies(version, self.operator, self.version)

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        version = f" ({self.operator} {self.version})" if self.operator else ""
        return self.name + qualifier + version


Alternatives = tuple[Relation, ...]
"""Relations of which one is enough (`a | b`), the preferred one first."""


@lru_cache(maxsize=65536)
def parse_relations(text: str) -> tuple[Alternatives, ...]:
    """The relations of a field, each with its alternatives; raises `ValueError` naming what cannot be read."""
    return tuple(
        tuple(_parse_relation(alternative) for alternative in group.split("|"))
        for group in text.split(",")
        if group.strip()  # a trailing comma is harmless, and dpkg lets it pass
    )


def _parse_relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()!r} is no relation to a package")
    operator, version = match["operator"] or "", match["version"] or ""
    if version:
        version_key(version)
    return Relation(match["name"], _OLD_OPERATORS.get(operator, operator), version, match["qualifier"] or "")
