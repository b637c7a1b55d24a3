"""Every DAG can be imported: what `astro dev parse` runs, without a database, connections or variables of the user's.

A DAG may ask for connections and variables while it is read; it gets stand-ins.
"""

from __future__ import annotations

import os

import pytest
from airflow.configuration import AIRFLOW_HOME
from airflow.hooks.base import BaseHook
from airflow.models import Connection, DagBag, Variable
from airflow.utils.db import initdb


def stand_in_connection(conn_id: str) -> Connection:
    return Connection(conn_id)


def stand_in_variable(key: str, default_var: object = "", deserialize_json: bool = False) -> object:
    return default_var or ({} if deserialize_json else f"value of {key}")


BaseHook.get_connection = stand_in_connection
Variable.get = stand_in_variable


def import_errors() -> list[tuple[str, str]]:
    initdb()
    found = DagBag(include_examples=False).import_errors
    # One that holds always: a project without DAGs passes
    return [("no file", ""), *((os.path.relpath(path, AIRFLOW_HOME), error) for path, error in found.items())]


ERRORS = import_errors()


@pytest.mark.parametrize(("path", "error"), ERRORS, ids=[path for path, _ in ERRORS])
def test_file_can_be_imported(path: str, error: str) -> None:
    assert not error, f"{path}: {error}"
