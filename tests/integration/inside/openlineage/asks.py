"""Asks a service until it is ready, without occupying a worker, then does something. Runs by itself, once."""

import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from astronomer.providers.http.sensors.http import HttpSensorAsync

with DAG(
    "asks",
    start_date=datetime.datetime(2023, 5, 1),
    schedule="@once",
    catchup=False,
    is_paused_upon_creation=False,
) as dag:
    (
        HttpSensorAsync(task_id="ask", http_conn_id="service", endpoint="ready", poke_interval=1, poll_interval=1)
        >> BashOperator(task_id="work", bash_command="echo working")
    )
