"""Prints what a request may do whose user's record was changed by a request with another token after it was let in.

Reads `{"viewer": token, "admin": token}`, two tokens of one user, from its first argument."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from airflow import settings
from airflow.models import DagModel
from airflow.security import permissions
from airflow.utils.session import create_session
from airflow.www.app import create_app
from flask import g
from flask_login import current_user

tokens = json.loads(sys.argv[1])
app = create_app()
manager = app.appbuilder.sm
with create_session() as session:
    session.merge(DagModel(dag_id="asked", is_active=True, is_paused=False, fileloc="/asked.py"))


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def ask_as(token):
    return app.test_client().get("/api/v1/dags", headers=bearer(token))


def answers():
    user = g.user
    ask_all = manager.has_all_dags_access
    return {
        "roles": sorted(role.name for role in manager.get_user_roles()),
        "roles of current_user": sorted(role.name for role in current_user.roles),
        "permissions of roles": any(role.permissions for role in user.roles),
        "writes variables": manager.has_access(permissions.ACTION_CAN_CREATE, permissions.RESOURCE_VARIABLE),
        "perms": (permissions.ACTION_CAN_CREATE, permissions.RESOURCE_VARIABLE) in user.perms,
        "edits the DAG": manager.can_edit_dag("asked", user),
        "readable DAGs": sorted(manager.get_readable_dag_ids(user)),
        "editable DAGs": sorted(manager.get_editable_dag_ids(user)),
        "accessible DAGs": sorted(manager.get_accessible_dag_ids(user)),
        "all DAGs": ask_all() if "user" not in ask_all.__code__.co_varnames else ask_all(user),
        "menu": sorted(set(manager.get_user_menu_access(["Variables", "DAG Runs"])) & {"Variables", "DAG Runs"}),
        "authorized": manager.check_authorization([(permissions.ACTION_CAN_EDIT, permissions.RESOURCE_DAG)], "asked"),
    }


told = {}
for name, other in (("viewer", "admin"), ("admin", "viewer"), ("viewer", "admin")):
    with app.test_request_context("/home", headers=bearer(tokens[name])):
        assert app.preprocess_request() is None
        # At the worst moment; what is read from now on is read from the database
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(ask_as, tokens[other]).result()
        assert answer.status_code == 200, answer.get_data()
        settings.Session.remove()
        told[name] = answers()
with create_session() as session:
    session.query(DagModel).filter(DagModel.dag_id == "asked").delete()
print(json.dumps(told))
