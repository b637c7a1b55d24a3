"""Checks of how containers of the image behave; most of them run Airflow."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from rtbuild.conformance.statics import AIRFLOW_LABEL
from rtbuild.conformance.subject import AIRFLOW_HOME, FOREIGN_UID, HOME, LIMIT, UID, Check, Subject, compare, require
from rtbuild.engine.containers import Container

DEAD_DATABASE = "postgresql://nobody:secret@127.0.0.1:1/airflow"
"""Nothing listens on port 1 of a container without a network."""
HEALTH = "http://127.0.0.1:8080/health"

Ready = Callable[[Container], bool]

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
    """Check the version and the settings that Airflow itself reports."""
    outcome = subject.run("python", "-W", "ignore", "-c", _INSTALLED)
    require(outcome.exit_code == 0, "Airflow does not report its settings", outcome)
    reported = json.loads(outcome.text.splitlines()[-1])
    version = subject.airflow or subject.labels.get(AIRFLOW_LABEL)
    # A patched Airflow has a local version, X.Y.Z+astro.N
    compare({"Airflow's version": reported.pop("version").partition("+")[0]}, {"Airflow's version": version})
    expected = {"dag_dir_list_interval": 30, "stalled_task_timeout": 600, "worker_pods_creation_batch_size": 16}
    compare(reported, expected)


def silence(subject: Subject) -> None:
    """Check that nothing but the command writes to standard output: the Astro CLI parses it."""
    outcome = subject.run("true")
    silent = outcome.exit_code == 0 and not outcome.stdout and not outcome.stderr
    require(silent, "a command without output has output", outcome)
    outcome = subject.run("pip", "freeze")
    require(outcome.exit_code == 0, "`pip freeze` fails", outcome)
    other = [line for line in outcome.text.splitlines() if not _FREEZE.match(line)]
    require(not other, "`pip freeze` prints more than packages: " + "\n".join(other[:5]))


def first_process(subject: Subject) -> None:
    """Check that process 1 is tini, which reaps zombies and forwards signals, and that exit codes are returned."""
    program = subject.facts["first_process"][0]
    require(program.rpartition("/")[2] == "tini", f"the first process is {program!r}, not tini")
    outcome = subject.run("sh", "-c", "exit 42")
    require(outcome.exit_code == 42, "exit code 42 of a command is lost", outcome)


def foreign_uid(subject: Subject) -> None:
    """Check that Airflow works under a uid without an account, with group 0."""
    facts = subject.probe(user=f"{FOREIGN_UID}:0")
    compare(facts, {"uid": FOREIGN_UID, "gid": 0, "account": None, "user": "astro", "home": HOME, "umask": 0o002})
    # Airflow writes to logs; the other folders have the modes that they have in the project
    needed = {"AIRFLOW_HOME": facts["folders"][""], "logs": facts["folders"]["logs"], "home": facts["home_folder"]}
    for name, folder in needed.items():
        require(bool(folder and folder["writable"]), f"{name} is not writable")
    outcome = subject.run("sh", "-c", "airflow db init && airflow db check", user=f"{FOREIGN_UID}:0")
    require(outcome.exit_code == 0, "Airflow does not work", outcome)


def read_only(subject: Subject) -> None:
    """Check a read-only root file system with a volume for AIRFLOW_HOME, also under a foreign uid, as in OpenShift."""
    options: dict[str, Any] = {"read_only": True, "tmpfs": {AIRFLOW_HOME: f"uid={UID},gid=0,mode=0775"}}
    script = "airflow db init && airflow db check && ! touch /usr/local/written 2> /dev/null"
    outcome = subject.run("sh", "-c", script, **options)
    require(outcome.exit_code == 0, "Airflow does not work on a read-only root file system", outcome)
    # All of Airflow, until the webserver reports a healthy scheduler
    script = "airflow db init > /dev/null 2>&1 && { airflow scheduler & exec airflow webserver; }"
    foreign = f"{FOREIGN_UID}:0"
    with subject.engine.running(subject.reference, ["sh", "-c", script], user=foreign, **options) as container:
        _wait_for(container, _healthy, f"under uid {FOREIGN_UID}, Airflow does not become healthy")


def dead_database(subject: Subject) -> None:
    """Check that waiting for a database ends with a message and a failure, and that only what needs one waits."""
    env = {"ASTRO_RUNTIME_WAIT_SECONDS": "2"}
    for variable in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"):
        begun = time.monotonic()
        outcome = subject.run("airflow", "db", "check", env={**env, variable: DEAD_DATABASE})
        seconds = time.monotonic() - begun
        require(outcome.exit_code not in (0, 137), f"{variable}: the command does not fail by itself", outcome)
        message = outcome.stderr.decode(errors="replace")
        named = "database" in message and "127.0.0.1:1" in message
        require(named, f"{variable}: no message names the database", outcome)
        require("secret" not in message, f"{variable}: the message shows the password")
        require(not outcome.stdout, f"{variable}: the wait writes to standard output", outcome)
        require(seconds >= 2, f"{variable}: the wait ended after {seconds:.1f} s, before the limit of 2 s")
    begun = time.monotonic()
    long = {"ASTRO_RUNTIME_WAIT_SECONDS": str(int(LIMIT)), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": DEAD_DATABASE}
    outcome = subject.run("pip", "--version", env=long)
    require(outcome.exit_code == 0 and not outcome.stderr, "`pip` waits for a database", outcome)


def interrupted(subject: Subject) -> None:
    """Check that `docker stop` ends the wait for a database."""
    env = {"ASTRO_RUNTIME_WAIT_SECONDS": str(int(LIMIT)), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": DEAD_DATABASE}
    with subject.engine.running(subject.reference, ["airflow", "scheduler"], env=env) as container:
        _wait_for(container, _logged("database"), "no message says that it waits")
        _stop(container, subject.grace, codes=(128 + signal.SIGTERM,))


def stop_scheduler(subject: Subject) -> None:
    """Check `docker stop` of a scheduler."""
    # Logged once it handles signals
    started = _logged("Resetting orphaned tasks")
    _stop_airflow(subject, "airflow scheduler", started, farewell="Exited execute loop")


def stop_webserver(subject: Subject) -> None:
    """Check `docker stop` of a webserver that answers."""
    # However long the grace period, Airflow gives its workers 30 s; then it ends with 1, and they with it
    codes = (0, 1)
    _stop_airflow(subject, "airflow webserver", _answers, farewell="Closing gunicorn", codes=codes)


def stop_triggerer(subject: Subject) -> None:
    """Check `docker stop` of a triggerer."""
    started = _logged("Starting the triggerer")
    _stop_airflow(subject, "airflow triggerer", started, farewell="Exited trigger loop")


def _stop_airflow(subject: Subject, command: str, ready: Ready, *, farewell: str, codes: Sequence[int] = (0,)) -> None:
    script = f"airflow db init > /dev/null 2>&1 && exec {command}"
    with subject.engine.running(subject.reference, ["sh", "-c", script]) as container:
        _wait_for(container, ready, f"`{command}` does not start")
        _stop(container, subject.grace, codes=codes, farewell=farewell)


def _healthy(container: Container) -> bool:
    outcome = container.exec(["curl", "--silent", "--fail", HEALTH])
    if outcome.exit_code != 0:
        return False
    parts = json.loads(outcome.stdout)
    return all(parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler"))


def _answers(container: Container) -> bool:
    return container.exec(["curl", "--silent", "--fail", "--output", "/dev/null", HEALTH]).exit_code == 0


def _logged(text: str) -> Ready:
    return lambda container: text in container.logs()


def _wait_for(container: Container, ready: Ready, problem: str) -> None:
    """Wait until `ready`, or raise `CheckFailure` with `problem` if the container ends or `LIMIT` passes before."""
    deadline = time.monotonic() + LIMIT
    while not ready(container):
        code = container.exit_code
        logs = container.logs()[-1500:]
        require(code is None, f"{problem}: the container ended with exit code {code}\n{logs}")
        require(time.monotonic() < deadline, f"{problem} within {LIMIT:.0f} s\n{logs}")
        time.sleep(0.5)


def _stop(container: Container, grace: float, *, codes: Sequence[int], farewell: str = "") -> None:
    """Stop a container, which must end with one of `codes` and have logged `farewell`: it ended in order."""
    code = container.stop(grace)
    logs = container.logs()
    require(
        code != 137,
        f"the container was killed after {grace:g} s; on a slow machine allow more with --grace\n{logs[-1500:]}",
    )
    require(code in codes, f"the container ended with exit code {code}\n{logs[-1500:]}")
    require(farewell in logs, f"the container ended abruptly, without logging {farewell!r}\n{logs[-1500:]}")


# These run one after the other: Python collects its garbage when it ends, which takes ten seconds of processor time for
# the webserver and its four workers. Other checks must not slow that down.
ALONE = ("stop-scheduler", "stop-webserver", "stop-triggerer")

BEHAVIOUR_CHECKS = (
    Check(name="settings", promise="has the Airflow version of its labels, and the expected settings", body=settings),
    Check(name="silence", promise="leaves standard output to the command (pip freeze)", body=silence),
    Check(name="first-process", promise="runs tini as process 1 and returns exit codes", body=first_process),
    Check(name="foreign-uid", promise="works under a uid without an account, with group 0", body=foreign_uid),
    Check(name="read-only", promise="works on a read-only root with a writable AIRFLOW_HOME, any uid", body=read_only),
    Check(name="dead-database", promise="reports within the time limit that a database is down", body=dead_database),
    Check(name="interrupted", promise="ends the wait for a database on docker stop", body=interrupted),
    Check(name="stop-scheduler", promise="stops the scheduler within its grace period", body=stop_scheduler),
    Check(name="stop-webserver", promise="stops the webserver within its grace period", body=stop_webserver),
    Check(name="stop-triggerer", promise="stops the triggerer within its grace period", body=stop_triggerer),
)
