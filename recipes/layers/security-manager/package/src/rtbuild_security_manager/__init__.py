"""Airflow's webserver behind a platform: who a request is from, and with which roles, comes from a signed token.

`settings`, `keys`, `sources`, `tokens` and `roles` decide; `users`, `accounts` and `guard` let users in, by means of
SQLAlchemy and Flask. All these know nothing of Airflow. `webserver` is the security manager that Airflow is configured
with, `views` has its pages, `api_auth` is the REST API's backend.
"""

from __future__ import annotations

__version__ = "1.0.0"
