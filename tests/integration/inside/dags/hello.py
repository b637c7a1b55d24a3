"""Two tasks, one after the other: enough to need the scheduler, the executor and XCom."""

import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator


def check(ti):
    assert ti.xcom_pull(task_ids="say") == "hello"


with DAG("hello", start_date=datetime.datetime(2023, 5, 1), schedule=None, catchup=False) as dag:
    BashOperator(task_id="say", bash_command="echo hello") >> PythonOperator(task_id="check", python_callable=check)
