"""The executors of the built image, live: LocalExecutor, CeleryExecutor, and what KubernetesExecutor would ask for.

One PostgreSQL, one Redis, one webserver and one triggerer serve the whole module; schedulers and workers come and go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.engine.containers import Mount
from tests.integration.conftest import BuiltImage
from tests.integration.deployment import (
    SCHEDULER,
    TRIGGERER,
    WEBSERVER,
    WORKER,
    Deployment,
    local_environment,
    writable,
)
from tests.integration.servers import Server, postgresql, redis

pytestmark = pytest.mark.integration

INSIDE = Path(__file__).parent / "inside" / "executors"
DAY = "2023-05-01T00:00:00+00:00"
READ_PODS = "python /inside/read_pods.py"
HEALTHY = {"metadatabase": "healthy", "scheduler": "healthy"}


@pytest.fixture(scope="module")
def broker() -> Iterator[Server]:
    with redis() as server:
        yield server


@pytest.fixture(scope="module")
def deployment(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An upgraded database, and nothing that runs."""
    logs = writable(tmp_path_factory.mktemp("logs"))
    with postgresql() as database:
        deployment = Deployment(
            engine=image.engine,
            reference=image.reference,
            # One web process is enough for one test
            environment={**local_environment(database.url), "AIRFLOW__WEBSERVER__WORKERS": "1"},
            mounts=[
                Mount(source=INSIDE, target="/usr/local/airflow/dags"),
                Mount(source=logs, target="/usr/local/airflow/logs", read_only=False),
            ],
        )
        upgraded = deployment.run(["airflow", "db", "upgrade"])
        assert upgraded.exit_code == 0, upgraded.stderr.decode()
        yield deployment


@pytest.fixture(scope="module")
def airflow(deployment: Deployment) -> Iterator[Deployment]:
    """With webserver and triggerer, as the Astro CLI starts them."""
    with deployment.running("triggerer", TRIGGERER), deployment.running("webserver", WEBSERVER):
        yield deployment


def test_local_executor_runs_a_deferrable_operator(airflow: Deployment) -> None:
    with airflow.running("scheduler", SCHEDULER):
        run_to_success(airflow, "local", where="scheduler")


def test_celery_executor_runs_a_deferrable_operator(airflow: Deployment, broker: Server) -> None:
    settings = {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW__CELERY__BROKER_URL": broker.url}
    with airflow.running("scheduler", SCHEDULER, **settings), airflow.running("worker", WORKER, **settings) as worker:
        run_to_success(airflow, "celery", where="worker")
        assert "celery@" in worker.logs()


def run_to_success(airflow: Deployment, run: str, *, where: str) -> None:
    """Run the DAG with the executor of the moment; its last task must have run in the container `where`."""
    states = airflow.run_dag("waits", run)
    assert states == {"say": "success", "wait": "success", "where": "success"}
    assert airflow.result("waits", run, "where") == where
    log = airflow.task_log("waits", run, "wait")
    assert "Pausing task as DEFERRED" in log, log
    # Waited for: Airflow 2.6.0 stores each heartbeat one beat of 5 s late and calls a scheduler unhealthy after 10.5 s,
    # which one that is busy for half a second too long is until its next beat.
    airflow.until("everything is healthy", lambda: airflow.statuses() == HEALTHY)
    assert f"waits/{run}/wait/-1/1" in airflow.containers["triggerer"].logs()


def test_kubernetes_executor_renders_pods_that_the_client_accepts(deployment: Deployment, image: BuiltImage) -> None:
    """What the executor would send: the template, the image, the task's command and what the task asks for."""
    folder = INSIDE.parent / "kubernetes"
    deployment = replace(
        deployment,
        mounts=[
            Mount(source=folder, target="/inside"),
            Mount(source=folder / "pods.py", target="/usr/local/airflow/dags/pods.py"),
        ],
    )
    outcome = deployment.run(
        ["sh", "-c", f"airflow kubernetes generate-dag-yaml -o /tmp/pods pods {DAY} >&2 && {READ_PODS} /tmp/pods"],
        AIRFLOW__CORE__EXECUTOR="KubernetesExecutor",
        AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE="workers",
        AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE="/inside/template.yaml",
        AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY=image.reference.rpartition(":")[0],
        AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG="8.0.0",
    )
    assert outcome.exit_code == 0, outcome.stderr.decode()
    pods = json.loads(outcome.text)
    assert set(pods) == {"plain", "large"}
    for task, pod in pods.items():
        (container,) = pod["spec"]["containers"]
        assert pod["metadata"]["namespace"] == "workers"
        assert pod["metadata"]["labels"]["tier"] == "airflow"
        assert pod["metadata"]["labels"]["kubernetes_executor"] == "True"
        assert pod["spec"]["serviceAccountName"] == "airflow-worker"
        assert (container["name"], container["image"]) == ("base", image.reference)
        assert container["args"][:5] == ["airflow", "tasks", "run", "pods", task]
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment["AIRFLOW_IS_K8S_EXECUTOR_POD"] == "True"
        assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    requests = {task: pod["spec"]["containers"][0]["resources"]["requests"]["memory"] for task, pod in pods.items()}
    assert requests == {"plain": "512Mi", "large": "2Gi"}
    assert [volume["name"] for volume in pods["large"]["spec"]["volumes"]] == ["scratch"]


def test_kubernetes_executor_makes_worker_pods_sixteen_at_a_time(deployment: Deployment) -> None:
    """The image's own setting reaches the executor, by the section's name of its Airflow."""
    script = (
        "from airflow.executors.executor_loader import ExecutorLoader\n"
        "executor = ExecutorLoader.get_default_executor()\n"
        "print(type(executor).__name__, executor.kube_config.worker_pods_creation_batch_size)\n"
    )
    outcome = deployment.run(["python", "-c", script], AIRFLOW__CORE__EXECUTOR="KubernetesExecutor")
    assert outcome.text.splitlines()[-1:] == ["KubernetesExecutor 16"], outcome.stderr.decode()
