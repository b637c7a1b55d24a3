"""Which roles tokens give, and what becomes of those that a user has already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rtbuild_security_manager.errors import Refused

MANAGED_ROLES = frozenset({"Admin", "Op", "User", "Viewer", "Public"})
"""Airflow's own roles: only tokens give and take these. All others belong to the administrators."""


def roles_of_claim(claim: Any) -> frozenset[str]:
    """The role names of a token's claim; raises `Refused` unless it is a list of managed roles, and not empty.

    An unknown name is refused rather than passed over: who issued it meant something that is not understood."""
    if not isinstance(claim, list):
        raise Refused("the roles are no list")
    if not claim:
        raise Refused("the token gives no role")
    if not all(isinstance(name, str) for name in claim):
        raise Refused("a role is no text")
    names = frozenset(claim)
    if not names <= MANAGED_ROLES:
        raise Refused("a role is unknown")
    return names


def roles_after(current: Iterable[str], given: frozenset[str]) -> frozenset[str]:
    """The names of the roles of a user who has `current` and comes with a token that gives `given`."""
    return (frozenset(current) - MANAGED_ROLES) | given
