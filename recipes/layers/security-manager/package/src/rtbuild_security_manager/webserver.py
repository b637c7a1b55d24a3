"""The security manager for `SECURITY_MANAGER_CLASS`: no request gets past it without a good token."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException
from airflow.models import DagModel
from airflow.security import permissions
from airflow.www.security import AirflowSecurityManager
from flask import g
from flask_appbuilder.const import AUTH_REMOTE_USER

from rtbuild_security_manager.accounts import Accounts
from rtbuild_security_manager.errors import ConfigurationError
from rtbuild_security_manager.guard import Guard, forbidden, user_of_session
from rtbuild_security_manager.settings import SECTION, TokenSettings, read_settings
from rtbuild_security_manager.sources import key_source
from rtbuild_security_manager.tokens import TokenVerifier
from rtbuild_security_manager.users import RequestUser
from rtbuild_security_manager.views import TokenAuthView, TokenUserModelView

log = logging.getLogger(__name__)

_CREATE_USERS = (permissions.ACTION_CAN_CREATE, permissions.RESOURCE_USER)


class TokenSecurityManager(AirflowSecurityManager):  # type: ignore[misc]
    """Identity, roles and permissions of every request come from its bearer token.

    Airflow asks `g.user` and flask-login's `current_user` for them. Both are the `RequestUser` that the guard makes.
    The few places where Airflow reads a user's roles from the database, or from what another request left in memory,
    are overridden here."""

    authremoteuserview = TokenAuthView
    userremoteusermodelview = TokenUserModelView

    def __init__(self, appbuilder: Any) -> None:
        settings = configured_settings()
        if appbuilder.get_app.config.get("AUTH_TYPE") != AUTH_REMOTE_USER:
            raise AirflowConfigException("webserver_config.py: TokenSecurityManager needs AUTH_TYPE = AUTH_REMOTE_USER")
        keys = key_source(signing_cert=settings.signing_cert, jwk_url=settings.jwk_url, timeout=settings.timeout)
        guard = Guard(
            TokenVerifier(keys, audience=settings.audience, leeway=settings.leeway),
            accounts=self._accounts,
            find_permissions=self._permissions_of_roles,
            index=lambda: str(self.appbuilder.get_url_for_index),
        )
        super().__init__(appbuilder)
        # First of all, even of the CSRF protection that Airflow registered before: nobody without a token learns more
        # than that they need one. Flask has no public way to say so.
        appbuilder.get_app.before_request_funcs.setdefault(None, []).insert(0, guard)

    def before_request(self) -> Any:
        """Flask-AppBuilder's hook: the guard has done its work, or else nothing goes on."""
        if not g.get("token_guarded"):
            return forbidden()
        return None

    def load_user(self, user_id: Any) -> RequestUser | None:
        """The user that flask-login takes a session for, never anybody but the token's."""
        return user_of_session(user_id)

    def has_access(self, action_name: str, resource_name: str, user: Any = None) -> bool:
        """As Airflow's, but nobody may create users: they come from tokens."""
        if (action_name, resource_name) == _CREATE_USERS:
            return False
        return bool(super().has_access(action_name, resource_name, user))

    def get_accessible_dag_ids(self, user: Any, user_actions: Any = None, session: Any = None) -> set[str]:
        """As Airflow's, which reads the user's roles from the database."""
        dags = self.get_accessible_dags(user_actions, user, session)
        return {dag.dag_id for dag in dags.with_entities(DagModel.dag_id)}

    def get_accessible_dags(self, user_actions: Any, user: Any, session: Any = None) -> Any:
        """As Airflow's, which reads the user's roles from the database."""
        actions = user_actions or (permissions.ACTION_CAN_EDIT, permissions.ACTION_CAN_READ)
        perms = getattr(user, "perms", None)  # Airflow 2.2 has it for this request's user only
        if perms is None:
            perms = self._permissions_of_roles([role.id for role in user.roles])
        resources = {resource for action, resource in perms if action in actions}
        dags = (session or self.get_session).query(DagModel)
        if permissions.RESOURCE_DAG in resources:
            return dags
        prefix = permissions.RESOURCE_DAG_PREFIX
        named = {name.removeprefix(prefix) for name in resources}
        return dags.filter(DagModel.dag_id.in_(named))

    def _has_perm(self, action_name: str, resource_name: str) -> bool:
        """As that of Airflow 2.2, which keeps what one user may do for all others; later ones have none."""
        return self.has_access(action_name, resource_name)

    def add_user(self, *_args: Any, **_kwargs: Any) -> bool:
        """Refuses to create a user by hand, whichever page or API it is that asks."""
        log.error("Users are created by their first request with a token, not by hand")
        return False

    def _accounts(self) -> Accounts:
        return Accounts(self.get_session, user_model=self.user_model, role_model=self.role_model)

    def _permissions_of_roles(self, role_ids: list[int]) -> Iterable[tuple[str, str]]:
        """Pairs of action and resource."""
        if hasattr(self, "permissionview_model"):  # Flask-AppBuilder's own models and names, until Airflow 2.2
            link, action, resource = self.permissionview_model, self.permission_model, self.viewmenu_model
            joined = (link.permission, link.view_menu)
        else:
            link, action, resource = self.permission_model, self.action_model, self.resource_model
            joined = (link.action, link.resource)
        query = self.get_session.query(action.name, resource.name).select_from(link)
        for other in (*joined, link.role):
            query = query.join(other)
        found: Iterable[tuple[str, str]] = query.filter(self.role_model.id.in_(role_ids)).all()
        return found


def configured_settings() -> TokenSettings:
    """What Airflow's configuration says; raises `AirflowConfigException`, so that a webserver without keys or audience
    does not start."""
    try:
        return read_settings(lambda name: conf.get(SECTION, name, fallback=None))
    except ConfigurationError as error:
        raise AirflowConfigException(str(error)) from None
