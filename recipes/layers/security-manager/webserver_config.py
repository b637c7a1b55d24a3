"""Airflow's webserver: its own login with users of its database, unless tokens of a platform are configured.

The configuration decides: with any of `jwt_signing_cert`, `houston_jwk_url` and `jwt_audience` in section
`[astronomer]` (environment: AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT and so on), every request must carry a token. Half a
configuration stops the webserver at start, instead of opening another way in.

A file of this name in a project takes this one's place.
"""

from __future__ import annotations

from airflow.configuration import conf
from flask_appbuilder.const import AUTH_DB, AUTH_REMOTE_USER
from rtbuild_security_manager.settings import SECTION, is_wanted

WTF_CSRF_ENABLED = True

if is_wanted(lambda name: conf.get(SECTION, name, fallback=None)):
    from rtbuild_security_manager.webserver import TokenSecurityManager

    AUTH_TYPE = AUTH_REMOTE_USER
    SECURITY_MANAGER_CLASS = TokenSecurityManager
else:
    AUTH_TYPE = AUTH_DB
