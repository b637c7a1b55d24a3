"""What happens before each request: a token is asked for, its user is let in, and their session goes on or ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import quote

import flask.globals
from flask import Response, current_app, g, redirect, request, session
from flask_login import current_user, login_user
from sqlalchemy.exc import SQLAlchemyError

from rtbuild_security_manager.accounts import Accounts
from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.tokens import Identity
from rtbuild_security_manager.users import RequestUser

log = logging.getLogger(__name__)

OWNER_KEY = "token_user"
"""Where a session keeps the ID of the user who began it with a token."""

ROLES_KEY = "token_roles"
"""Where a session keeps the roles that it was begun with."""


class Verifier(Protocol):
    """Tells whom the value of an Authorization header is about."""

    def identity(self, authorization: str | None) -> Identity:
        """The identity; raises `Refused` for anything but a good token."""
        ...


class Guard:
    """A hook for Flask: identity and roles of every request come from its bearer token, whatever cookies it has.

    A session only keeps what pages need from one request to the next, such as CSRF tokens: it lets nobody in and
    carries no role. It belongs to one user with certain roles, and ends when a token says otherwise. `accounts` gives
    the users of the database for this request, `find_permissions` the permissions of roles by their IDs, and `index`
    the address of the start page."""

    def __init__(
        self,
        verifier: Verifier,
        *,
        accounts: Callable[[], Accounts],
        find_permissions: Callable[[list[int]], Iterable[tuple[str, str]]],
        index: Callable[[], str],
    ) -> None:
        self._verifier = verifier
        self._accounts = accounts
        self._find_permissions = find_permissions
        self._index = index

    def __call__(self) -> Any:
        """Let a request go on by returning None; anything else is its answer."""
        g.token_guarded = True
        # Until somebody is known, and for what anybody may see: without a look at the database
        g.user = current_app.login_manager.anonymous_user()
        if _is_free():
            return None
        authorization = request.headers.get("Authorization")
        if authorization is None and _is_api():
            return _turned_away(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})
        accounts = self._accounts()
        try:
            return self._admit(self._verifier.identity(authorization), accounts)
        except Refused as refusal:
            log.warning("Refused %s %r: %s", request.method, request.path, refusal)
            return forbidden()
        except SQLAlchemyError as error:
            # Its text would quote the statement's parameters, which are the token's claims
            accounts.rollback()
            log.error("The user cannot be looked up: %s from the database", type(error).__name__)
            return _turned_away(503, "Service Unavailable", {"Retry-After": "5"})

    def _admit(self, identity: Identity, accounts: Accounts) -> Any:
        """Make the request one of the user of `identity`; an answer where its session has ended instead."""
        record = accounts.find(identity)
        had_session = record is not None and session.get(OWNER_KEY) == record.id
        if not had_session:
            _end_session_of_others()
        begins_session = not (had_session or _is_api())
        record, roles_in_use = accounts.bring_in_line(identity, record, begins_session=begins_session)
        g.user = g.token_user = RequestUser(record, roles_in_use, self._find_permissions)
        roles = sorted(identity.roles)
        # Sessions are not saved by Airflow's REST API, so they cannot end there: the next page sees to that
        if had_session and session.get(ROLES_KEY) != roles and not _is_api():
            session.clear()
            if request.method in ("GET", "HEAD"):
                return redirect(_here())
            # What was sent was meant with other roles: it is not done
            return redirect(self._index(), 303)
        if not current_user.is_authenticated:
            login_user(g.token_user, remember=False)
            session[OWNER_KEY], session[ROLES_KEY] = g.token_user.id, roles
        return None


def user_of_session(user_id: Any) -> RequestUser | None:
    """Return the user that flask-login takes a session for: that of the request's token, or nobody."""
    user: RequestUser | None = g.get("token_user")
    return user if user is not None and user.get_id() == str(user_id) else None


def forbidden() -> Response:
    """Return the answer to a request that is not let in."""
    return _turned_away(403, "Forbidden", {})


def _end_session_of_others() -> None:
    """Leave nothing of a session that was not begun with a token of this user."""
    if OWNER_KEY in session:
        log.warning("A session of user %s came with a token of somebody else, and has ended", session[OWNER_KEY])
    permanent = session.permanent
    session.clear()
    # It goes on as another one's: without this, Airflow's sessions in the database could not be read again
    session.permanent = permanent


def _is_free() -> bool:
    """Whether anybody may ask: for the webserver's health, and for static files."""
    endpoint = request.endpoint or ""
    if endpoint == "Airflow.health":
        return True
    # Only what Flask itself made of a static folder, not a view that is called so
    rule = request.url_rule
    return (
        (endpoint == "static" or endpoint.endswith(".static")) and rule is not None and rule.arguments == {"filename"}
    )


def _is_api() -> bool:
    return str(request.path).startswith("/api/")


def _here() -> str:
    """The address of the request, relative to the server: what a proxy in front made of scheme and host is unknown."""
    path = quote("/" + f"{request.script_root}{request.path}".lstrip("/\\"))
    query = request.query_string.decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def _turned_away(status: int, title: str, headers: dict[str, str]) -> Response:
    """The whole answer to a request that does not go on: a page, or for the REST API a problem (RFC 7807).

    It leaves no session behind, nor touches one: whoever has no token would fill the database with them."""
    context: Any = (
        getattr(flask.globals, "request_ctx", None) or flask.globals._request_ctx_stack.top
    )  # before Flask 2.2
    context.session = current_app.session_interface.make_null_session(current_app)
    if _is_api():
        body = json.dumps({"detail": None, "status": status, "title": title, "type": "about:blank"})
        kind = "application/problem+json"
    else:
        body, kind = f"{title}\n", "text/plain"
    return Response(body, status, {"Cache-Control": "no-store", **headers}, mimetype=kind)
