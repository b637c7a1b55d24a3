"""The project's habits as commands: `nox -l` lists them.

`build-<v>`, `lock-<v>` and `verify-<v>` come from the recipes found, both for a release (`build-8.0.0`) and for a
series (`build-8.0`, its newest release). What follows `--` goes to rtbuild: `nox -s build-8.0 -- --load`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = True

PROJECT = Path(__file__).parent
RTBUILD = ".nox/rtbuild"
"""The one environment that every build, lock and verify session shares."""


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Unit tests: no network, no engine, seconds."""
    install(session, "test")
    session.run("pytest", "tests/unit", *session.posargs)


@nox.session(reuse_venv=True)
def integration(session: nox.Session) -> None:
    """Integration tests: real mirrors, a real engine, a real Airflow."""
    install(session, "test")
    session.run("pytest", "tests/integration", *session.posargs)


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """ruff, mypy --strict, and the direction of imports."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
    """The documentation, with every warning an error, into `site/`."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(reuse_venv=True)
def bench(session: nox.Session) -> None:
    """Each promise of speed against what a user would do instead; writes `docs/benchmarks.md`."""
    install(session, "test")
    session.run("python", "-m", "bench", *session.posargs)


def install(session: nox.Session, *extras: str) -> None:
    """Install rtbuild (editable) with `extras`, unless this environment already holds what pyproject.toml says."""
    location = Path(session.virtualenv.location)
    stamp = location / "rtbuild.stamp"
    wanted = hashlib.sha256(
        b"\0".join([(PROJECT / "pyproject.toml").read_bytes(), str(PROJECT).encode(), ",".join(extras).encode()])
    ).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    target = f".[{','.join(extras)}]" if extras else "."
    session.install("--quiet", "--editable", target)
    stamp.write_text(wanted, encoding="utf-8")


def releases() -> Iterator[str]:
    """The versions that have a recipe, oldest first."""
    found = (path.stem for path in (PROJECT / "recipes" / "releases").glob("*.toml"))
    versions = [version for version in found if all(part.isdigit() for part in version.split("."))]
    yield from sorted(versions, key=lambda version: [int(part) for part in version.split(".")])


def add_release_sessions() -> None:
    """Make the three sessions of every release, and of every series for its newest one."""
    series: dict[str, str] = {}
    for version in releases():
        series[version.rpartition(".")[0]] = version
        add_verbs(version, version)
    for name, newest in series.items():
        add_verbs(name, newest)


def add_verbs(name: str, version: str) -> None:
    """Make `build-<name>`, `lock-<name>` and `verify-<name>`."""
    for verb, title in (("build", "Build"), ("lock", "Lock"), ("verify", "Rebuild from nothing and compare")):
        session = verb_session(verb, version, f"{title} {version}.")
        nox.session(session, name=f"{verb}-{name}", venv_location=RTBUILD, reuse_venv=True)


def verb_session(verb: str, version: str, title: str) -> Callable[[nox.Session], None]:
    """A session function that runs one rtbuild verb on one release; its exit code is rtbuild's success or failure."""

    def run(session: nox.Session) -> None:
        install(session)
        session.run("rtbuild", verb, version, *session.posargs)

    run.__doc__ = title
    return run


add_release_sessions()
