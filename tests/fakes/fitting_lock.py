"""A workspace with a lock that answers the questions of both resolvers, so that locking it again resolves nothing."""

from __future__ import annotations

from rtbuild.lockfile.derived import DEBIAN_QUESTION, PYTHON_QUESTION, debian_question, newest_input, python_question
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.resolve.python.resolve import resolver_identity
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64


def write_fitting_lock(workspace: Workspace) -> Lock:
    """Write a lock of release 8.0.0 that fits the recipes of `tests.fakes.workspaces`."""
    release = workspace.release("8.0")
    debs = (
        locks.deb("apt"),
        locks.deb("libc6", "2.31-13+deb11u14"),
        locks.deb("libpython3.9-minimal", "3.9.2-1", layer="python"),
        locks.deb("python3.9", "3.9.2-1", layer="python"),
        locks.deb("tini"),
    )
    names = ("apache-airflow-providers-amazon", "apache-airflow-providers-http", "astro-sdk-python")
    pythons = (
        locks.wheel("apache-airflow", "2.6.0", layer="airflow"),
        *(locks.wheel(name, version) for name, version in zip(names, ("8.0.0", "4.3.0", "1.5.3"), strict=True)),
        locks.wheel("pip", "23.1.2", layer="airflow"),
    )
    questions = (
        (DEBIAN_QUESTION, debian_question(release, AMD64)),
        (PYTHON_QUESTION, python_question(release, AMD64, "3.9.2", (2, 31), resolver_identity())),
    )
    fitting = locks.lock(
        inputs=tuple(sorted((*release.inputs, *questions))),
        source_date_epoch=newest_input(debs, pythons),
        debs=debs,
        pythons=pythons,
    )
    write_lock(workspace.lock_path("8.0.0", AMD64), fitting)
    return fitting
