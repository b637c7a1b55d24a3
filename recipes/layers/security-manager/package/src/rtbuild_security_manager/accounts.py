"""The users that Airflow keeps in its database, brought in line with what tokens say of them."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.roles import roles_after
from rtbuild_security_manager.tokens import Identity
from rtbuild_security_manager.users import RoleInUse

log = logging.getLogger(__name__)

_ATTEMPTS = 5
"""How often a user is looked up again because another request changed it at the same moment."""


class Accounts:
    """Users and roles in a SQLAlchemy session, of the classes that Flask-AppBuilder calls user and role models."""

    def __init__(self, session: Any, *, user_model: Any, role_model: Any) -> None:
        self._session = session
        self._user_model = user_model
        self._role_model = role_model

    def bring_in_line(
        self, identity: Identity, user: Any | None, *, begins_session: bool
    ) -> tuple[Any, tuple[RoleInUse, ...]]:
        """Return the user of an identity, created at first sight, and the roles that count for this request.

        The roles are the token's and those that administrators gave, whatever the database says a moment later: a
        request with another token of the same user may change what is recorded there at any time.

        Many requests may do this at once: the database's unique constraints decide who created a user, the others take
        what that left. A change of roles locks the user, because two that remove and add the same rows would disturb
        each other.

        Args:
            user: What `find` returned for the identity.
            begins_session: Whether this counts as a login.

        Raises:
            Refused: if the user was deactivated, or cannot be written.
            SQLAlchemyError: if the database fails.
        """
        for _attempt in range(_ATTEMPTS):
            try:
                if user is None:
                    return self._create(identity)
                return user, self._update(user, identity, begins_session=begins_session)
            except Refused:
                self._session.rollback()  # nothing half done stays in the session, for whoever commits it next
                raise
            except (IntegrityError, ObjectDeletedError, StaleDataError):
                # Another request was quicker: see what the database holds now
                self._session.rollback()
                self._session.expunge_all()
                user = self.find(identity)
        raise Refused("the user cannot be written: e-mail address or name belong to another one")

    def find(self, identity: Identity) -> Any | None:
        """Return the user of an identity, None if there is none; raises `Refused` for a name that is too similar."""
        name = self._user_model.username
        found = self._session.query(self._user_model).filter(func.lower(name) == func.lower(identity.subject)).all()
        for user in found:
            if user.username == identity.subject:
                return user
        if found:
            # Airflow looks users up without case: one would be taken for the other
            raise Refused("another user's name differs from the token's only in case")
        return None

    def rollback(self) -> None:
        """Forget what was not written yet."""
        self._session.rollback()

    def _create(self, identity: Identity) -> tuple[Any, tuple[RoleInUse, ...]]:
        roles = self._roles(identity.roles)
        user = self._user_model()
        user.username = self._fitting("username", identity.subject)
        user.active = True
        user.login_count, user.fail_login_count, user.last_login = 1, 0, datetime.now()
        self._describe(user, identity)
        self._session.add(user)
        user.roles = roles
        in_use = self._in_use(user)
        self._session.commit()
        log.info("Created user %s at first sight", user.id)
        return user, in_use

    def _update(self, user: Any, identity: Identity, *, begins_session: bool) -> tuple[RoleInUse, ...]:
        changed = _names(user) != roles_after(_names(user), identity.roles)
        if changed:
            self._lock(user)
        if not user.is_active:
            raise Refused("the user was deactivated by an administrator")
        modified = self._describe(user, identity)
        current = _names(user)
        wanted = roles_after(current, identity.roles)
        if wanted != current:
            user.roles = [role for role in user.roles if role.name in wanted] + self._roles(wanted - current)
        if begins_session:
            user.login_count, user.last_login = (user.login_count or 0) + 1, datetime.now()
        in_use = self._in_use(user)
        if modified or begins_session or changed:
            self._session.commit()
        if wanted != current:
            log.info("Roles of user %s changed", user.id)
        return in_use

    def _lock(self, user: Any) -> None:
        """Read a user again, and keep other requests from changing them before this one has."""
        user_id = user.id
        self._session.rollback()  # a new transaction sees what others have written meanwhile
        self._session.expire(user)
        # If it was deleted, whoever reads it next gets an ObjectDeletedError
        self._session.query(self._user_model).filter(self._user_model.id == user_id).with_for_update().all()

    def _in_use(self, user: Any) -> tuple[RoleInUse, ...]:
        """What counts of a user's roles, read before anything is written: a commit may make the session forget it."""
        records = self._session.query(self._role_model)
        return tuple(
            RoleInUse(role.id, role.name, records.filter(self._role_model.id == role.id).one) for role in user.roles
        )

    def _describe(self, user: Any, identity: Identity) -> bool:
        """Write down what a token says of its user; True where that was not known yet."""
        described = {
            "email": self._fitting("email", identity.email),
            "first_name": identity.first_name[: self._length("first_name")],
            "last_name": identity.last_name[: self._length("last_name")],
        }
        news = {name: value for name, value in described.items() if getattr(user, name) != value}
        for name, value in news.items():
            setattr(user, name, value)
        return bool(news)

    def _roles(self, names: frozenset[str]) -> list[Any]:
        found = self._session.query(self._role_model).filter(self._role_model.name.in_(names)).all()
        if {role.name for role in found} != names:
            raise Refused("a role is missing in the database: `airflow sync-perm` creates it")
        return list(found)

    def _fitting(self, column: str, value: str) -> str:
        if len(value) > (self._length(column) or len(value)):
            raise Refused(f"the {column} of the token is longer than the database can hold")
        return value

    def _length(self, column: str) -> int | None:
        """How many characters a column holds: that grew from Airflow release to release."""
        return getattr(getattr(self._user_model, column).type, "length", None)


def _names(user: Any) -> frozenset[str]:
    return frozenset(role.name for role in user.roles)
