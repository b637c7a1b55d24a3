"""Debian version numbers (Policy 5.6.12): their order and what a relation says of them."""

from __future__ import annotations

from functools import lru_cache

from debian.debian_support import NativeVersion

OPERATORS = ("<<", "<=", "=", ">=", ">>")
"""Policy 7.1."""


@lru_cache(maxsize=65536)
def version_key(version: str) -> NativeVersion:
    """A value that sorts as dpkg orders versions; raises `ValueError` where `version` is none."""
    return NativeVersion(version)


@lru_cache(maxsize=65536)
def version_satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether `version` stands in the relation `operator` to `wanted`; raises `ValueError` for what is no version."""
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
    raise ValueError(f"{operator!r} is no relation between versions")
