"""The users that Airflow keeps in its database, brought in line with what tokens say of them."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.roles import roles_after
from rtbuild_security_manager.tokens import Identity

log = logging.getLogger(__name__)

_ATTEMPTS = 5
"""How often a user is looked up again because another request changed it at the same moment."""


class Accounts:
    """Users and roles in a SQLAlchemy session, of the classes that Flask-AppBuilder calls user and role models."""

    def __init__(self, session: Any, *, user_model: Any, role_model: Any) -> None:
        self._session = session
        self._user_model = user_model
        self._role_model = role_model

    def bring_in_line(self, identity: Identity, user: Any | None, *, begins_session: bool) -> tuple[Any, bool]:
        """The user of an identity, created at first sight, and whether its roles had to be changed.

        `user` is that user where the caller has it, else None. Many requests may do this at once: the database's
        unique constraints decide who was first, the others take what it left. Raises `Refused`, `SQLAlchemyError`."""
        for _attempt in range(_ATTEMPTS):
            user = user or self._find(identity)
            try:
                if user is None:
                    return self._create(identity), True
                return user, self._update(user, identity, begins_session=begins_session)
            except (IntegrityError, StaleDataError):
                # Another request was quicker: see what the database holds now
                self._session.rollback()
                self._session.expire_all()
                user = None
        raise Refused("the user cannot be written: e-mail address or name belong to another one")

    def _find(self, identity: Identity) -> Any | None:
        name = self._user_model.username
        found = self._session.query(self._user_model).filter(func.lower(name) == func.lower(identity.subject)).all()
        for user in found:
            if user.username == identity.subject:
                return user
        if found:
            # Airflow looks users up without case: one would be taken for the other
            raise Refused("another user's name differs from the token's only in case")
        return None

    def _create(self, identity: Identity) -> Any:
        user = self._user_model()
        user.username = self._fitting("username", identity.subject)
        user.active = True
        user.login_count, user.fail_login_count, user.last_login = 1, 0, datetime.now()
        self._describe(user, identity)
        user.roles = self._roles(identity.roles)
        self._session.add(user)
        self._session.commit()
        log.info("Created user %s at first sight", user.id)
        return user

    def _update(self, user: Any, identity: Identity, *, begins_session: bool) -> bool:
        if not user.is_active:
            raise Refused("the user was deactivated by an administrator")
        modified = self._describe(user, identity)
        current = frozenset(role.name for role in user.roles)
        wanted = roles_after(current, identity.roles)
        if wanted != current:
            user.roles = [role for role in user.roles if role.name in wanted] + self._roles(wanted - current)
        if begins_session:
            user.login_count, user.last_login = (user.login_count or 0) + 1, datetime.now()
        if modified or begins_session or wanted != current:
            self._session.commit()
        if wanted != current:
            log.info("Roles of user %s changed", user.id)
        return wanted != current

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
