"""Requirements in old metadata, read as the installers of their time read them.

Before 2022, pip and setuptools accepted versions that are none by PEP 440 (`packaging.specifiers.LegacySpecifier`):

| in the metadata | read as | because |
|---|---|---|
| `pytz (>dev)`, `pytz (>=dev)`, `pytz (!=dev)` | `pytz` | a legacy version sorted before every version |
| `pytz (>=2018.*)`, and with `>`, `<` or `<=` | `pytz (>=2018)` | `.*` had no effect in a comparison |

Whatever else today's parser refuses must be given in the recipe, file by file. Only lines that it refuses are changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from rtbuild.errors import ResolutionError
from rtbuild.recipe.model import MetadataRepair

# With the lines that continue it.
_REQUIREMENT = re.compile(r"^Requires-Dist:(.*(?:\n[ \t].*)*)\n", re.IGNORECASE | re.MULTILINE)
_PARTS = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?)\s*(?P<open>\()?(?P<clauses>[^();@]*)(?(open)\))\s*"
)
# Most requirements, in today's spelling: the parser takes 15 times as long to see that it can read them.
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_NUMBERS = r"[0-9]+(?:\.[0-9]+)*"
_USUAL_CLAUSE = (
    rf"(?:(?:[=!]=|[<>]=?) ?{_NUMBERS}(?:(?:a|b|rc|\.?dev)[0-9]*)?|[=!]= ?{_NUMBERS}\.\*|~= ?[0-9]+(?:\.[0-9]+)+)"
)
_USUAL_CLAUSES = rf"{_USUAL_CLAUSE}(?: ?, ?{_USUAL_CLAUSE})*"
_VARIABLE = "(?:extra|python_version|sys_platform|platform_system|platform_python_implementation)"
_COMPARISON = rf"""{_VARIABLE} ?(?:[=!]=|[<>]=?) ?(?:'[\w.-]*'|"[\w.-]*")"""
_USUAL_MARKER = rf"(?:\({_COMPARISON}\)|{_COMPARISON})"
_USUAL = re.compile(
    rf"{_NAME}(?:\[{_NAME}(?: ?, ?{_NAME})*\])? ?(?:\({_USUAL_CLAUSES}\)|{_USUAL_CLAUSES})? ?"
    rf"(?:; ?{_USUAL_MARKER}(?: and {_USUAL_MARKER})*)?",
    re.ASCII,
)
_CLAUSE = re.compile(r"\s*(===|==|~=|!=|<=|>=|<|>)\s*(\S+)\s*")


def read_as_then(filename: str, text: str, repairs: Sequence[MetadataRepair]) -> str:
    """Return the header of core metadata with every requirement in today's spelling.

    Args:
        filename: The wheel or sdist.
        text: The header of its metadata.
        repairs: What the recipe says about this file.

    Raises:
        ResolutionError: if a requirement cannot be read, or a repair is for a requirement that the file does not have.
    """
    wanted = {_plain(repair.requirement): repair.replacement for repair in repairs}
    used: set[str] = set()

    def line(match: re.Match[str]) -> str:
        requirement = _plain(match[1])
        if requirement in wanted:
            used.add(requirement)
            read_as = wanted[requirement]
        elif _is_readable(requirement):
            return match[0]
        else:
            read_as = _mended(requirement)
            if read_as is None:
                number = text.count("\n", 0, match.start()) + 1
                raise ResolutionError(
                    f"{filename}: line {number} of its metadata is not a valid requirement: {requirement!r}",
                    hint="say how to read it with [[metadata]] in the release's recipe, or require another version",
                )
        return f"Requires-Dist: {read_as}\n" if read_as else ""

    current = _REQUIREMENT.sub(line, text)
    for repair in repairs:
        if _plain(repair.requirement) not in used:
            raise ResolutionError(
                f"{filename}: its metadata has no requirement {repair.requirement!r}, which the recipe replaces",
                hint="remove the [[metadata]] from the recipe of the release, or copy the requirement from the file",
            )
    return current


def _plain(requirement: str) -> str:
    return " ".join(requirement.split())


@lru_cache(maxsize=65536)
def _is_readable(requirement: str) -> bool:
    if _USUAL.fullmatch(requirement):
        return True
    try:
        Requirement(requirement)
    except InvalidRequirement:
        return False
    return True


def _mended(requirement: str) -> str | None:
    """Return a requirement with its legacy versions in today's spelling; None if that is not enough."""
    match = _PARTS.match(requirement)
    rest = "" if match is None else requirement[match.end() :]
    if match is None or (rest and not rest.startswith(";")):
        return None
    clauses = []
    for clause in match["clauses"].split(","):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            return None
        operator, version = found[1], found[2]
        if operator in ("<", "<=", ">", ">=") and version.endswith(".*"):
            version = version.removesuffix(".*")
        if _is_version(version.removesuffix(".*")):
            clauses.append(f"{operator}{version}")
        elif operator not in (">", ">=", "!="):
            return None
    mended = match["name"].strip() + (f" ({','.join(clauses)})" if clauses else "") + (f" {rest}" if rest else "")
    return mended if _is_readable(mended) else None


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
