"""A task that says something, one that waits without occupying a worker, and one that says where it ran."""

import datetime
import os

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.sensors.time_delta import TimeDeltaSensorAsync


def where(ti):
    assert ti.xcom_pull(task_ids="say") == "hello"
    return os.environ["SERVICE"]


with DAG("waits", start_date=datetime.datetime(2023, 5, 1), schedule=None, catchup=False) as dag:
    (
        BashOperator(task_id="say", bash_command="echo hello")
        >> TimeDeltaSensorAsync(task_id="wait", delta=datetime.timedelta(seconds=2))
        >> PythonOperator(task_id="where", python_callable=where)
    )
