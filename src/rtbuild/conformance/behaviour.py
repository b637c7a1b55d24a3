"""Promises about how containers of the image behave, with Airflow running in most of them."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from rtbuild.conformance.subject import AIRFLOW_HOME, FOREIGN_UID, HOME, LIMIT, UID, Check, Subject, compare, require
from rtbuild.engine.containers import Container

DEAD_DATABASE = "postgresql://nobody:secret@127.0.0.1:1/airflow"
"""Nobody listens at port 1 of a container without a network."""
HEALTH = "http://127.0.0.1:8080/health"
_FREEZE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(==| @ )\S+\Z|-e \S+\Z|#")
_INSTALLED = r"""
import json, logging
logging.disable()
from airflow.configuration import conf
from airflow.version import version
pods = "kubernetes_executor" if conf.has_section("kubernetes_executor") else "kubernetes"
print(json.dumps({
    "version": version,
    "dag_dir_list_interval": conf.getint("scheduler", "dag_dir_list_interval"),
    "stalled_task_timeout": conf.getint("celery", "stalled_task_timeout", fallback=None),
    "worker_pods_creation_batch_size": conf.getint(pods, "worker_pods_creation_batch_size"),
}))
"""


def settings(subject: Subject) -> None:
    """What Airflow itself takes for its version and its settings."""
    outcome = subject.run("python", "-W", "ignore", "-c", _INSTALLED)
    require(outcome.exit_code == 0, "Airflow cannot be asked for its settings", outcome)
    found = json.loads(outcome.text.splitlines()[-1])
    version = subject.airflow or subject.labels.get("io.astronomer.docker.airflow.version")
    # a patched Airflow has a local version, X.Y.Z+astro.N
    compare({"Airflow's version": found.pop("version").partition("+")[0]}, {"Airflow's version": version})
    wanted = {"dag_dir_list_interval": 30, "stalled_task_timeout": 600, "worker_pods_creation_batch_size": 16}
    compare(found, wanted)


def silence(subject: Subject) -> None:
    """Standard output is the command's alone: the Astro CLI parses it."""
    outcome = subject.run("true")
    require(
        outcome.exit_code == 0 and not outcome.stdout and not outcome.stderr, "a silent command is not silent", outcome
    )
    outcome = subject.run("pip", "freeze")
    require(outcome.exit_code == 0, "pip freeze fails", outcome)
    other = [line for line in outcome.text.splitlines() if not _FREEZE.match(line)]
    require(not other, "pip freeze prints more than packages: " + "\n".join(other[:5]))


def first_process(subject: Subject) -> None:
    """tini reaps what is left, passes signals on, and ends as the command does."""
    found = subject.found["first_process"][0]
    require(found.rpartition("/")[2] == "tini", f"the first process is {found!r}, not tini")
    outcome = subject.run("sh", "-c", "exit 42")
    require(outcome.exit_code == 42, "a command's exit code 42 does not get through", outcome)


def foreign_uid(subject: Subject) -> None:
    """A uid without an account, with group 0."""
    found = subject.look(user=f"{FOREIGN_UID}:0")
    compare(found, {"uid": FOREIGN_UID, "gid": 0, "account": None, "user": "astro", "home": HOME, "umask": 0o002})
    # Airflow writes into logs; the others are the project's, and come with the modes that they have there
    needed = {"AIRFLOW_HOME": found["folders"][""], "logs": found["folders"]["logs"], "home": found["home_folder"]}
    for name, folder in needed.items():
        require(bool(folder and folder["writable"]), f"{name} cannot be written to")
    outcome = subject.run("sh", "-c", "airflow db init && airflow db check", user=f"{FOREIGN_UID}:0")
    require(outcome.exit_code == 0, "Airflow does not work", outcome)


def read_only(subject: Subject) -> None:
    """A root that nobody can write to, with a volume for AIRFLOW_HOME; under a foreign uid, as OpenShift has it."""
    options: dict[str, Any] = {"read_only": True, "tmpfs": {AIRFLOW_HOME: f"uid={UID},gid=0,mode=0775"}}
    script = "airflow db init && airflow db check && ! touch /usr/local/written 2> /dev/null"
    outcome = subject.run("sh", "-c", script, **options)
    require(outcome.exit_code == 0, "Airflow does not work on a read-only root", outcome)
    # The whole of it, until the webserver knows that the scheduler works
    script = "airflow db init > /dev/null 2>&1 && { airflow scheduler & exec airflow webserver; }"
    foreign = f"{FOREIGN_UID}:0"
    with subject.engine.running(subject.reference, ["sh", "-c", script], user=foreign, **options) as container:
        _until(container, lambda: _healthy(container), f"under uid {FOREIGN_UID}, Airflow does not get healthy")


def _healthy(container: Container) -> bool:
    outcome = container.exec(["curl", "--silent", "--fail", HEALTH])
    if outcome.exit_code != 0:
        return False
    parts = json.loads(outcome.stdout)
    return all(parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler"))


def dead_database(subject: Subject) -> None:
    """Waiting ends, with a message and not with success; what needs no database does not wait."""
    env = {"ASTRO_RUNTIME_WAIT_SECONDS": "2"}
    for variable in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"):
        begun = time.monotonic()
        outcome = subject.run("airflow", "db", "check", env={**env, variable: DEAD_DATABASE})
        seconds = time.monotonic() - begun
        require(outcome.exit_code not in (0, 137), f"with {variable}: it ends as if all were well", outcome)
        said = outcome.stderr.decode(errors="replace")
        require(
            "database" in said and "127.0.0.1:1" in said, f"with {variable}: no message names the database", outcome
        )
        require("secret" not in said, f"with {variable}: the message tells the password")
        require(not outcome.stdout, f"with {variable}: it writes to standard output", outcome)
        require(seconds >= 2, f"with {variable}: it gave up after {seconds:.1f} s, before the limit of 2 s")
    begun = time.monotonic()
    long = {"ASTRO_RUNTIME_WAIT_SECONDS": str(int(LIMIT)), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": DEAD_DATABASE}
    outcome = subject.run("pip", "--version", env=long)
    require(outcome.exit_code == 0 and not outcome.stderr, "pip waits for a database", outcome)


def interrupted(subject: Subject) -> None:
    """Who waits for a database can be told to stop."""
    env = {"ASTRO_RUNTIME_WAIT_SECONDS": str(int(LIMIT)), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": DEAD_DATABASE}
    with subject.engine.running(subject.reference, ["airflow", "scheduler"], env=env) as container:
        _until(container, lambda: "database" in container.logs(), "it does not say that it waits")
        _stop(container, subject.grace, codes=(128 + signal.SIGTERM,))


def stop_scheduler(subject: Subject) -> None:
    """`docker stop` of a scheduler."""
    # Said once it has made itself ready for signals
    started = "Resetting orphaned tasks"
    _stop_airflow(subject, "airflow scheduler", lambda one: started in one.logs(), said="Exited execute loop")


def stop_webserver(subject: Subject) -> None:
    """`docker stop` of a webserver that answers."""
    asked = ["curl", "--silent", "--fail", "--output", "/dev/null", HEALTH]
    # However long it may take, Airflow gives its workers 30 s: then it ends with 1, and they with it
    codes = (0, 1)
    _stop_airflow(
        subject, "airflow webserver", lambda one: one.exec(asked).exit_code == 0, said="Closing gunicorn", codes=codes
    )


def stop_triggerer(subject: Subject) -> None:
    """`docker stop` of a triggerer."""
    started = "Starting the triggerer"
    _stop_airflow(subject, "airflow triggerer", lambda one: started in one.logs(), said="Exited trigger loop")


def _stop_airflow(
    subject: Subject, command: str, ready: Callable[[Container], bool], *, said: str, codes: Sequence[int] = (0,)
) -> None:
    script = f"airflow db init > /dev/null 2>&1 && exec {command}"
    with subject.engine.running(subject.reference, ["sh", "-c", script]) as container:
        _until(container, lambda: ready(container), f"{command} does not start")
        _stop(container, subject.grace, codes=codes, said=said)


def _until(container: Container, ready: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not ready():
        code = container.exit_code
        logs = container.logs()[-1500:]
        require(code is None, f"{otherwise}: it ended with exit code {code}\n{logs}")
        require(time.monotonic() < deadline, f"{otherwise} within {LIMIT:.0f} s\n{logs}")
        time.sleep(0.5)


def _stop(container: Container, grace: float, *, codes: Sequence[int], said: str = "") -> None:
    """Stop a container, which must end with one of `codes` and have written `said` by then: it ended in order."""
    begun = time.monotonic()
    code = container.stop(grace)
    logs = container.logs()
    require(code != 137, f"it had to be killed after {time.monotonic() - begun:.0f} s\n{logs[-1500:]}")
    require(code in codes, f"it ended with exit code {code}\n{logs[-1500:]}")
    require(said in logs, f"it ended abruptly: it did not say {said!r}\n{logs[-1500:]}")


# The last ones run one after the other: Python collects its garbage when it ends, which for the webserver and its four
# workers takes ten seconds of processor time that others must not take away.
ALONE = ("stop-scheduler", "stop-webserver", "stop-triggerer")

BEHAVIOUR_CHECKS = (
    Check(name="settings", promise="Airflow has the version and the settings that the image says", body=settings),
    Check(name="silence", promise="standard output is the command's alone (pip freeze)", body=silence),
    Check(name="first-process", promise="tini is process 1, exit codes get through", body=first_process),
    Check(name="foreign-uid", promise="works under a uid without an account, with group 0", body=foreign_uid),
    Check(name="read-only", promise="works on a read-only root with a writable AIRFLOW_HOME, any uid", body=read_only),
    Check(name="dead-database", promise="a database that is down is told within the time limit", body=dead_database),
    Check(name="interrupted", promise="docker stop ends the wait for a database", body=interrupted),
    Check(name="stop-scheduler", promise="docker stop ends the scheduler in its grace period", body=stop_scheduler),
    Check(name="stop-webserver", promise="docker stop ends the webserver in its grace period", body=stop_webserver),
    Check(name="stop-triggerer", promise="docker stop ends the triggerer in its grace period", body=stop_triggerer),
)
