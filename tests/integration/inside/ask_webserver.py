"""Prints what Airflow's webserver says to somebody without a token or session: with nothing configured, and why it does
not start with half a configuration."""

from __future__ import annotations

import json
import os

from airflow.exceptions import AirflowConfigException
from airflow.www.app import create_app

app = create_app()
answers = {path: app.test_client().get(path) for path in ("/home", "/login/", "/api/v1/dags")}
told = {
    "manager": type(app.appbuilder.sm).__name__,
    "status": {path: answer.status_code for path, answer in answers.items()},
    "login": "password" in answers["/login/"].get_data(as_text=True),  # .text came with Werkzeug 2
    "half": "it started",
}
os.environ["AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT"] = "/keys/tls.crt"
try:
    create_app()
except AirflowConfigException as error:
    told["half"] = str(error)
print(json.dumps(told))
