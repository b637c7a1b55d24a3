"""Debian version numbers (Policy 5.6.12): their order, and relations between them."""

from __future__ import annotations

from functools import lru_cache

from debian.debian_support import NativeVersion

OPERATORS = ("<<", "<=", "=", ">=", ">>")
"""The operators of relations (Policy 7.1)."""


@lru_cache(maxsize=65536)
def version_key(version: str) -> NativeVersion:
    """Return a key that sorts versions as dpkg does.

    Raises:
        ValueError: if `version` is not a Debian version.
    """
    return NativeVersion(version)


@lru_cache(maxsize=65536)
def version_satisfies(version: str, operator: str, wanted: str) -> bool:
    """Return whether `version` is in the relation `operator` (see `OPERATORS`) to `wanted`.

    Raises:
        ValueError: if either is not a Debian version, or `operator` is unknown.
    """
    left, right = version_key(version), version_key(wanted)
    match operator:
        case "<<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case "=":
            return bool(left == right)
        case ">=":
            return bool(left >= right)
        case ">>":
            return bool(left > right)
    raise ValueError(f"{operator!r} is not a relation between versions")
