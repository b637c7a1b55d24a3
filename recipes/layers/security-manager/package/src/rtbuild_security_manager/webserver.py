"""The security manager for `SECURITY_MANAGER_CLASS`: no request gets past it without a good token."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import flask.globals
from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException
from airflow.security import permissions
from airflow.www.security import AirflowSecurityManager
from flask import Response, current_app, g, redirect, request, session
from flask_appbuilder.const import AUTH_REMOTE_USER
from flask_login import current_user, login_user
from sqlalchemy.exc import SQLAlchemyError

from rtbuild_security_manager.accounts import Accounts
from rtbuild_security_manager.errors import ConfigurationError, Refused
from rtbuild_security_manager.settings import SECTION, TokenSettings, read_settings
from rtbuild_security_manager.sources import key_source
from rtbuild_security_manager.tokens import Identity, TokenVerifier
from rtbuild_security_manager.views import TokenAuthView, TokenUserModelView

log = logging.getLogger(__name__)

ROLES_KEY = "token_roles"
"""Where a session keeps the roles that it was begun with."""

_CREATE_USERS = (permissions.ACTION_CAN_CREATE, permissions.RESOURCE_USER)


class TokenSecurityManager(AirflowSecurityManager):  # type: ignore[misc]
    """Identity and roles of every request come from its bearer token, whatever cookies it has.

    A session only keeps what pages need from one request to the next, such as CSRF tokens: it lets nobody in. It
    belongs to one user with certain roles, and ends when a token says otherwise."""

    authremoteuserview = TokenAuthView
    userremoteusermodelview = TokenUserModelView

    def __init__(self, appbuilder: Any) -> None:
        settings = configured_settings()
        if appbuilder.get_app.config.get("AUTH_TYPE") != AUTH_REMOTE_USER:
            raise AirflowConfigException("webserver_config.py: TokenSecurityManager needs AUTH_TYPE = AUTH_REMOTE_USER")
        keys = key_source(signing_cert=settings.signing_cert, jwk_url=settings.jwk_url, timeout=settings.timeout)
        self._verifier = TokenVerifier(keys, audience=settings.audience, leeway=settings.leeway)
        super().__init__(appbuilder)
        # First of all, even of the CSRF protection that Airflow registered before: nobody without a token learns more
        # than that they need one. Flask has no public way to say so.
        appbuilder.get_app.before_request_funcs.setdefault(None, []).insert(0, self._guard)

    def before_request(self) -> Any:
        """Flask-AppBuilder's hook: the guard has done its work, or else nothing goes on."""
        if not g.get("token_guarded"):
            return _forbidden()
        return None

    def has_access(self, action_name: str, resource_name: str, user: Any = None) -> bool:
        """As Airflow's, but nobody may create users: they come from tokens."""
        if (action_name, resource_name) == _CREATE_USERS:
            return False
        return bool(super().has_access(action_name, resource_name, user))

    def add_user(self, *_args: Any, **_kwargs: Any) -> bool:
        """Refuses to create a user by hand, whichever page or API it is that asks."""
        log.error("Users are created by their first request with a token, not by hand")
        return False

    def _guard(self) -> Any:
        """Flask's hook before each request: None lets it go on, anything else is the answer."""
        g.token_guarded = True
        # Until somebody is known, and for what anybody may see: without a look at the database
        g.user = self.lm.anonymous_user()
        if _is_free():
            return None
        authorization = request.headers.get("Authorization")
        if authorization is None and _is_api():
            return _turned_away(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})
        try:
            identity = self._verifier.identity(authorization)
            return self._admit(identity)
        except Refused as refusal:
            log.warning("Refused %s %r: %s", request.method, request.path, refusal)
            return _forbidden()
        except SQLAlchemyError as error:
            # Its text would quote the statement's parameters, which are the token's claims
            self.get_session.rollback()
            log.error("The user cannot be looked up: %s from the database", type(error).__name__)
            return _turned_away(503, "Service Unavailable", {"Retry-After": "5"})

    def _admit(self, identity: Identity) -> Any:
        """Make the request one of the user of `identity`; an answer where its session has ended instead."""
        user = current_user._get_current_object() if current_user.is_authenticated else None
        if user is not None and user.username != identity.subject:
            log.warning("A session of user %s came with a token of somebody else, and has ended", user.id)
            permanent = session.permanent
            session.clear()
            # It goes on as another one's: without this, Airflow's sessions in the database could not be read again
            session.permanent = permanent
            user = None
        had_session = user is not None
        accounts = Accounts(self.get_session, user_model=self.user_model, role_model=self.role_model)
        user, changed = accounts.bring_in_line(identity, user, begins_session=not (had_session or _is_api()))
        roles = sorted(identity.roles)
        if had_session and (changed or session.get(ROLES_KEY) != roles):
            # Sessions are not saved by Airflow's REST API, so they cannot end there: the next page sees to that
            if not _is_api():
                session.clear()
                if request.method in ("GET", "HEAD"):
                    return redirect(_here())
                # What was sent was meant with other roles: it is not done
                return redirect(self.appbuilder.get_url_for_index, 303)
        elif not had_session:
            login_user(user, remember=False)
            session[ROLES_KEY] = roles
        g.user = current_user
        return None


def configured_settings() -> TokenSettings:
    """What Airflow's configuration says; raises `AirflowConfigException`, so that a webserver without keys or audience
    does not start."""
    try:
        return read_settings(lambda name: conf.get(SECTION, name, fallback=None))
    except ConfigurationError as error:
        raise AirflowConfigException(str(error)) from None


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


def _forbidden() -> Response:
    return _turned_away(403, "Forbidden", {})


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
