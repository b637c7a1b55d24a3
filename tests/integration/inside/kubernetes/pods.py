"""One task as the template has it, and one that asks for more memory and a volume of its own."""

import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from kubernetes.client import models as k8s

OVERRIDE = k8s.V1Pod(
    spec=k8s.V1PodSpec(
        containers=[
            k8s.V1Container(
                name="base",
                resources=k8s.V1ResourceRequirements(requests={"memory": "2Gi"}),
                volume_mounts=[k8s.V1VolumeMount(name="scratch", mount_path="/scratch")],
            )
        ],
        volumes=[k8s.V1Volume(name="scratch", empty_dir=k8s.V1EmptyDirVolumeSource())],
    )
)

with DAG("pods", start_date=datetime.datetime(2023, 5, 1), schedule=None, catchup=False) as dag:
    BashOperator(task_id="plain", bash_command="echo hello")
    BashOperator(task_id="large", bash_command="echo hello", executor_config={"pod_override": OVERRIDE})
