"""The user of one request, with the roles of the request's own token."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_COPIED = (
    "id",
    "username",
    "first_name",
    "last_name",
    "email",
    "active",
    "is_active",
    "login_count",
    "fail_login_count",
    "last_login",
    "created_on",
    "changed_on",
)


@dataclass(frozen=True)
class RoleInUse:
    """A role that counts for one request.

    `load` reads its record from the database, for those who want the role's permissions one by one."""

    id: int
    name: str
    load: Callable[[], Any] = field(compare=False, repr=False)

    @property
    def permissions(self) -> Any:
        return self.load().permissions

    def __str__(self) -> str:
        return self.name


class RequestUser:
    """A user as Airflow's pages and its REST API expect one, with roles that nobody else can change.

    The database has one record for a user, and another request with another token may have changed its roles just now.
    So everything is copied at once, and what is not copied is not there, rather than taken from the record. `perms`
    are pairs of action and resource, which `find_permissions` reads for the roles' IDs at the first question."""

    is_authenticated = True
    is_anonymous = False

    def __init__(
        self,
        record: Any,
        roles: Iterable[RoleInUse],
        find_permissions: Callable[[list[int]], Iterable[tuple[str, str]]],
    ) -> None:
        for name in _COPIED:
            setattr(self, name, getattr(record, name))
        self.roles = list(roles)
        self._find_permissions = find_permissions
        self._perms: frozenset[tuple[str, str]] | None = None

    @property
    def perms(self) -> frozenset[tuple[str, str]]:
        if self._perms is None:
            found = self._find_permissions([role.id for role in self.roles])
            self._perms = frozenset((action, resource) for action, resource in found)
        return self._perms

    def get_id(self) -> str:
        """What flask-login writes into a session."""
        return str(self.id)  # type: ignore[attr-defined]

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}"  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return self.get_full_name()
