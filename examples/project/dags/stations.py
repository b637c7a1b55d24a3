"""Reads the stations of the project, waits without occupying a worker, and reports.

It uses everything that an Astro project can bring: a file in include/, a plugin, a Debian package, a Python package, a
variable and a pool of airflow_settings.yaml.
"""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

from airflow.decorators import dag, task
from airflow.models import Variable
from airflow.operators.bash import BashOperator
from airflow.sensors.time_delta import TimeDeltaSensorAsync

STATIONS = Path(__file__).parents[1] / "include" / "stations.csv"


@dag(
    start_date=datetime(2023, 5, 1),
    schedule=None,
    catchup=False,
    default_args={"owner": "weather", "retries": 1, "retry_delay": timedelta(seconds=5)},
    tags=["example"],
)
def stations():
    @task(pool="stations")
    def read() -> str:
        with STATIONS.open(encoding="utf-8") as file:
            return json.dumps(list(csv.DictReader(file)))

    coldest = BashOperator(
        task_id="coldest",
        bash_command="jq --raw-output 'min_by(.celsius | tonumber).name' <<< \"$stations\"",
        env={"stations": "{{ ti.xcom_pull(task_ids='read') }}"},
        append_env=True,
    )

    thaw = TimeDeltaSensorAsync(task_id="thaw", delta=timedelta(seconds=5))

    @task(templates_dict={"zero": "{{ macros.temperature.fahrenheit(0) }}"})
    def report(found: str, templates_dict: dict[str, str] | None = None) -> str:
        import inflect

        count = inflect.engine().number_to_words(len(json.loads(found)))
        zero = (templates_dict or {})["zero"]
        return f"{Variable.get('greeting')}: {count} stations, water freezes at {zero} °F"

    found = read()
    found >> coldest >> thaw >> report(found)


stations()
