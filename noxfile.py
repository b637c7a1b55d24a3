"""The project's habits as commands: `nox -l` lists them.

`build-<v>`, `lock-<v>` and `verify-<v>` come from the recipes found, both for a release (`build-8.0.0`) and for a
series (`build-8.0`, its newest release). What follows `--` goes to rtbuild: `nox -s build-8.0 -- --load`.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = True

PROJECT = Path(__file__).parent
SHARED = PROJECT / ".nox" / "rtbuild"
"""The one environment of all builds, locks and verifications: there are three sessions for each release."""


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Unit tests: no network, no engine, seconds."""
    install(session, "test")
    session.run("pytest", "tests/unit", *session.posargs)


@nox.session(reuse_venv=True)
def integration(session: nox.Session) -> None:
    """Integration tests: real mirrors, a real engine, a real Airflow."""
    install(session, "test")
    # A socket that a client library leaves open is found when memory is collected, in whatever test runs then.
    leaks = "default::pytest.PytestUnraisableExceptionWarning"
    session.run("pytest", "-W", leaks, "tests/integration", *session.posargs)


@nox.session(name="security-manager-versions", reuse_venv=True)
def security_manager_versions(session: nox.Session) -> None:
    """The security manager's live tests on each older Airflow that it is written for, or on those named after `--`."""
    install(session, "test")
    known = tomllib.loads((PROJECT / "tests" / "integration" / "airflow_versions.toml").read_text(encoding="utf-8"))
    for version in session.posargs or known:
        session.run("pytest", "tests/integration/test_security_manager.py", "--airflow", version)


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
    """Install rtbuild (editable) with `extras`, unless the session's environment holds what pyproject.toml says."""
    stamp = Path(session.virtualenv.location) / "rtbuild.stamp"
    if not is_fresh(stamp, extras):
        session.install("--quiet", "--editable", f".[{','.join(extras)}]")
        stamp.write_text(fingerprint(extras), encoding="utf-8")


def shared_rtbuild(session: nox.Session) -> str:
    """The rtbuild program in the environment that all builds, locks and verifications share, made if need be."""
    stamp = SHARED / "rtbuild.stamp"
    if not is_fresh(stamp, ()):
        session.run(sys.executable, "-m", "venv", "--clear", str(SHARED))
        pip = (str(SHARED / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
        session.run(*pip, "install", "--quiet", "--editable", str(PROJECT))
        stamp.write_text(fingerprint(()), encoding="utf-8")
    return str(SHARED / "bin" / "rtbuild")


def is_fresh(stamp: Path, extras: Sequence[str]) -> bool:
    """True where `stamp` says that its environment holds what is wanted now."""
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint(extras)


def fingerprint(extras: Sequence[str]) -> str:
    """What an environment depends on: the dependencies, the place of the checkout, the interpreter."""
    parts = ((PROJECT / "pyproject.toml").read_text(encoding="utf-8"), str(PROJECT), sys.version, *extras)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


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
    titles = {
        "build": f"Build {version} and compare it with its lock.",
        "lock": f"Choose every artifact of {version} and write its lock.",
        "verify": f"Rebuild {version} from nothing and compare.",
    }
    for verb, title in titles.items():
        session = verb_session(verb, version, title)
        nox.session(name=f"{verb}-{name}", python=False)(session)


def verb_session(verb: str, version: str, title: str) -> Callable[[nox.Session], None]:
    """A session function that runs one rtbuild verb on one release; its exit code is rtbuild's success or failure."""

    def run(session: nox.Session) -> None:
        session.run(shared_rtbuild(session), verb, version, *session.posargs)

    run.__doc__ = title
    return run


add_release_sessions()
