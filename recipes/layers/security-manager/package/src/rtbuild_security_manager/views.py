"""Pages that work in another way when users come from tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.security import permissions
from airflow.www.security import AirflowSecurityManager
from flask import abort, has_request_context, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.views import AuthRemoteUserView


class TokenAuthView(AuthRemoteUserView):  # type: ignore[misc]
    """Where Airflow sends users who may not see a page. There is no login: whoever gets here has a good token."""

    @expose("/login/")  # type: ignore[untyped-decorator]
    def login(self) -> Any:
        """Back to the start page, which shows Airflow's message that access is denied; 403 for users who may not see
        that either. Flask-AppBuilder's own would go back to the page that was denied, for ever."""
        if not self.appbuilder.sm.has_access(permissions.ACTION_CAN_READ, permissions.RESOURCE_WEBSITE):
            abort(403)
        return redirect(self.appbuilder.get_url_for_index)


class TokenUserModelView(AirflowSecurityManager.userremoteusermodelview):  # type: ignore[misc]
    """Airflow's list of users, where none can be added."""

    base_permissions: ClassVar[list[str]] = [
        permissions.ACTION_CAN_READ,
        permissions.ACTION_CAN_EDIT,
        permissions.ACTION_CAN_DELETE,
    ]

    @property
    def class_permission_name(self) -> str:
        """What one needs permission for: the profile is everybody's own, all else is the list of users. Airflow before
        2.3 tells them apart only for the users of its own login."""
        method = ""
        if has_request_context() and request.endpoint:
            method = request.endpoint.rpartition(".")[2]
            if method == "action":
                method = (request.view_args or {}).get("name", "")
        own = method in ("userinfo", "userinfoedit")
        return str(permissions.RESOURCE_MY_PROFILE if own else permissions.RESOURCE_USER)

    @class_permission_name.setter
    def class_permission_name(self, name: str) -> None:
        """Flask-AppBuilder writes here what it has read: there is nothing to keep."""

    @expose("/add", methods=["GET", "POST"])  # type: ignore[untyped-decorator]
    def add(self) -> Any:
        """Denied, even to Admin: a user is created by their first request with a token."""
        abort(403)
