"""What this project asks of its DAGs; `astro dev pytest` runs it."""

from __future__ import annotations

import pytest
from airflow.models import DAG, DagBag
from airflow.utils.db import initdb


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    initdb()
    bag = DagBag(include_examples=False)
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_there_are_dags(dags: dict[str, DAG]) -> None:
    assert set(dags) == {"stations"}


def test_every_dag_has_tags_and_retries(dags: dict[str, DAG]) -> None:
    for name, dag in dags.items():
        assert dag.tags, name
        assert dag.default_args.get("retries", 0) >= 1, name


def test_the_report_waits_for_the_thaw(dags: dict[str, DAG]) -> None:
    assert dags["stations"].get_task("report").upstream_task_ids == {"read", "thaw"}
