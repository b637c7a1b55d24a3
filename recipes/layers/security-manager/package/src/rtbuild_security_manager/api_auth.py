"""Backend for `[api] auth_backends`: who the security manager let in may use the REST API.

`AIRFLOW__API__AUTH_BACKENDS=rtbuild_security_manager.api_auth`
"""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, TypeVar, cast

from flask import Response, g

Function = TypeVar("Function", bound=Callable[..., Any])

CLIENT_AUTH: Any = None
"""What Airflow's own client of the experimental API would send: nothing, tokens come from the platform."""


def init_app(_app: Any) -> None:
    """Nothing to prepare; Airflow calls it at start."""


def requires_authentication(function: Function) -> Function:
    """Calls `function` for an authenticated user; 401 for anybody else."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        user = g.get("user")
        if user is None or user.is_anonymous:
            return Response("Unauthorized", 401, {"WWW-Authenticate": "Bearer"})
        return function(*args, **kwargs)

    return cast(Function, checked)
