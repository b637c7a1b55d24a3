"""Prints what Airflow's webserver, as it is configured here, says to somebody without a token or session."""

from __future__ import annotations

import json
import sys

from airflow.exceptions import AirflowConfigException
from airflow.www.app import create_app

try:
    app = create_app()
except AirflowConfigException as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
answers = {path: app.test_client().get(path) for path in ("/home", "/login/", "/api/v1/dags")}
print(
    json.dumps(
        {
            "manager": type(app.appbuilder.sm).__name__,
            "status": {path: answer.status_code for path, answer in answers.items()},
            "login": "password" in answers["/login/"].text,
        }
    )
)
