"""What the project does regularly, as commands: `nox -l` lists them.

The sessions `build-<v>`, `lock-<v>` and `verify-<v>` come from the recipes: one of each for every release
(`build-8.0.0`) and for every series (`build-8.0`, its newest release). Arguments after `--` go to rtbuild:
`nox -s build-8.0 -- --load`.
"""

from __future__ import annotations

import hashlib
import os
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
SHARED = PROJECT / ".venv"
"""The environment that `bootstrap` makes. Builds, locks and verifications run the rtbuild in it, and so do users."""
RECORDED = nox.project.load_toml(PROJECT / "pyproject.toml")["dependency-groups"]["recorded"]
"""The exact requirements that recorded the locks of this checkout."""
PARALLEL = (f"--numprocesses={(os.cpu_count() or 1) + 1}", "--dist=worksteal")
"""Options of pytest for the unit tests: one process more than cores, because many tests wait for a time-out."""

SIDE_BY_SIDE = ("--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder")
"""Options of pytest for the integration tests: Airflow starts on one core, and many tests wait for it."""


# --- tests -----------------------------------------------------------------------------------------------------------


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Run the fast unit tests: no network, no engine."""
    install(session, "test")
    # `tests-3.13` tries properties with more examples, and measures coverage.
    unit_tests(session, "-m", "not slow", "--hypothesis-profile=quick")


@nox.session(name="tests-slow", reuse_venv=True)
def tests_slow(session: nox.Session) -> None:
    """Run the unit tests that start other programs, such as pip or mypy, for seconds, and a small fuzz run."""
    install(session, "test")
    unit_tests(session, "-m", "slow")


@nox.session(name="tests-3.12", python="3.12", reuse_venv=True)
def tests_312(session: nox.Session) -> None:
    """Run all unit tests on this machine's python3.12."""
    install(session, "test")
    unit_tests(session)


@nox.session(name="tests-3.13", reuse_venv=True)
def tests_313(session: nox.Session) -> None:
    """Run all unit tests on the python3.13 of a Debian 13 that is made for it, as root on Debian 12; check coverage."""
    install(session)
    # With arguments, such as `-k name`, it is not the whole suite whose coverage is measured.
    measured = [] if session.posargs else ["--cov=rtbuild"]
    session.run("python", "-m", "tests.debian_13", *PARALLEL, *measured, *session.posargs, env=bytecode())


@nox.session(reuse_venv=True)
def fuzz(session: nox.Session) -> None:
    """Try 100,000 damaged samples on each parser of foreign bytes, or `-- --runs N`; what is found becomes a test."""
    install(session, "test")
    session.run("python", "-m", "tests.fuzz", *session.posargs, env=bytecode())


def unit_tests(session: nox.Session, *options: str) -> None:
    session.run("pytest", *PARALLEL, *options, "tests/unit", *session.posargs, env=bytecode())


def bytecode() -> dict[str, str | None]:
    """Return variables that let Python keep compiled modules, in a folder of their own.

    Without them pytest compiles every test module again in each process, if PYTHONDONTWRITEBYTECODE is set.
    """
    return {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": str(PROJECT / ".nox" / "pycache")}


@nox.session(reuse_venv=True)
def mutants(session: nox.Session) -> None:
    """Break one check of rtbuild at a time; fail if the unit tests do not notice. Words after `--` choose by name."""
    install(session, "test")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session(reuse_venv=True)
def integration(session: nox.Session) -> None:
    """Run the integration tests: real mirrors, a real engine, a real Airflow."""
    integration_tests(session, *SIDE_BY_SIDE, "-m", "not large")


@nox.session(name="integration-large", reuse_venv=True)
def integration_large(session: nox.Session) -> None:
    """Run the large integration tests: other Debians, packages whose scripts make keys, the tutorials, OpenLineage."""
    integration_tests(session, *SIDE_BY_SIDE, "-m", "large")


def integration_tests(session: nox.Session, *options: str, where: str = "tests/integration") -> None:
    install(session, "test")
    # A socket that a client library leaves open is reported at garbage collection, in whichever test is running then.
    leaks = "default::pytest.PytestUnraisableExceptionWarning"
    session.run("pytest", "-W", leaks, "--durations=15", *options, where, *session.posargs)


@nox.session(reuse_venv=True)
def stress(session: nox.Session) -> None:
    """Kill each command 12 times, fill 12 disks, share a store between four processes; `-- --rounds N --seed N`."""
    integration_tests(session, "--rounds=12", where="tests/integration/test_crash.py")


@nox.session(name="security-manager-versions", reuse_venv=True)
def security_manager_versions(session: nox.Session) -> None:
    """Run the security manager's live tests on each older Airflow that it supports, or on those named after `--`."""
    install(session, "test")
    known = tomllib.loads((PROJECT / "tests" / "integration" / "airflow_versions.toml").read_text(encoding="utf-8"))
    for version in session.posargs or known:
        session.run("pytest", "tests/integration/test_security_manager.py", "--airflow", version)


# --- lint, documentation, benchmarks, releases -----------------------------------------------------------------------


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Run ruff, mypy --strict and import-linter."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
    """Build the documentation into `site/`; a warning is an error."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(reuse_venv=True)
def bench(session: nox.Session) -> None:
    """Measure rtbuild against what a user would do without it; writes `docs/benchmarks.md`."""
    install(session, "bench")
    session.run("python", "-m", "bench", *session.posargs)


@nox.session(reuse_venv=True)
def changelog(session: nox.Session) -> None:
    """Print the changelog entry that the fragments in `changelog.d/` make."""
    install(session, "release")
    session.run("towncrier", "build", "--draft", *session.posargs)


@nox.session(reuse_venv=True)
def wheel(session: nox.Session) -> None:
    """Build rtbuild's own wheel from HEAD twice, under unlike conditions, and fail if the bytes differ."""
    install(session, "release")
    folder = Path(session.create_tmp())
    first = build_wheel(session, folder / "first", umask=0o022, timezone="UTC0")
    second = build_wheel(session, folder / "a folder of another name", umask=0o077, timezone="EST5")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)]
    if first.name != second.name or len(set(digests)) > 1:
        session.error(f"the wheel is not reproducible: compare {first} ({digests[0]}) and {second} ({digests[1]})")
    dist = PROJECT / "dist"
    dist.mkdir(exist_ok=True)
    (dist / first.name).write_bytes(first.read_bytes())
    session.log(f"built twice, same bytes: sha256:{digests[0]}  dist/{first.name}")


def build_wheel(session: nox.Session, folder: Path, *, umask: int, timezone: str) -> Path:
    """Clone HEAD into `folder` and build a wheel there; return its path."""
    before = os.umask(umask)
    try:
        session.run("rm", "-rf", str(folder), external=True)
        session.run("git", "clone", "--quiet", "--shared", str(PROJECT), str(folder), external=True)
        epoch = session.run("git", "-C", str(folder), "log", "-1", "--format=%ct", external=True, silent=True)
        settings = {"SOURCE_DATE_EPOCH": str(epoch).strip(), "TZ": timezone, "PYTHONHASHSEED": str(umask)}
        session.run("python", "-m", "build", "--wheel", "--no-isolation", str(folder), env=settings)
    finally:
        os.umask(before)
    (path,) = (folder / "dist").glob("*.whl")
    return path


@nox.session(name="install", python=False)
def install_rtbuild(session: nox.Session) -> None:
    """Install rtbuild into `.venv`, editable. `bootstrap` runs this first, each time."""
    shared_rtbuild(session)


def install(session: nox.Session, *groups: str) -> None:
    """Install rtbuild (editable) and dependency `groups`, unless the session's environment is up to date."""
    stamp = Path(session.virtualenv.location) / "rtbuild.stamp"
    if not is_fresh(stamp, groups):
        session.install("--quiet", "pip>=25.1")  # the first with --group; Python 3.11 comes with an older one
        session.install("--quiet", "--editable", ".", *(f"--group={group}" for group in groups))
        stamp.write_text(fingerprint(groups), encoding="utf-8")


def shared_rtbuild(session: nox.Session) -> str:
    """Return the path of `.venv/bin/rtbuild`, after installing or updating it if necessary."""
    stamp = SHARED / "rtbuild.stamp"
    if not is_fresh(stamp, ()):
        python = SHARED / "bin" / "python"
        if not python.exists():
            session.run(sys.executable, "-m", "venv", str(SHARED))
        pip = (str(python), "-m", "pip", "--disable-pip-version-check")
        session.run(*pip, "install", "--quiet", "--editable", str(PROJECT), *RECORDED)
        stamp.write_text(fingerprint(()), encoding="utf-8")
    return str(SHARED / "bin" / "rtbuild")


def is_fresh(stamp: Path, groups: Sequence[str]) -> bool:
    """Return whether `stamp` says that its environment holds what pyproject.toml asks for now."""
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint(groups)


def fingerprint(groups: Sequence[str]) -> str:
    """Return a digest of what an environment depends on: pyproject.toml, the checkout's path and the interpreter."""
    parts = ((PROJECT / "pyproject.toml").read_text(encoding="utf-8"), str(PROJECT), sys.version, *groups)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def releases() -> Iterator[str]:
    """Yield the versions that have a recipe, oldest first."""
    names = (path.stem for path in (PROJECT / "recipes" / "releases").glob("*.toml"))
    versions = [name for name in names if all(part.isdigit() for part in name.split("."))]
    yield from sorted(versions, key=lambda version: [int(part) for part in version.split(".")])


def add_release_sessions() -> None:
    """Add the three sessions of every release, and those of every series for its newest release."""
    series: dict[str, str] = {}
    for version in releases():
        series[version.rpartition(".")[0]] = version
        add_verbs(version, version)
    for name, newest in series.items():
        add_verbs(name, newest)


def add_verbs(name: str, version: str) -> None:
    """Add `build-<name>`, `lock-<name>` and `verify-<name>`."""
    titles = {
        "build": f"Build {version} and compare it with its lock.",
        "lock": f"Resolve {version} and write its lock.",
        "verify": f"Rebuild {version} from scratch and compare it with its lock.",
    }
    for verb, title in titles.items():
        session = verb_session(verb, version, title)
        nox.session(name=f"{verb}-{name}", python=False)(session)


def verb_session(verb: str, version: str, title: str) -> Callable[[nox.Session], None]:
    """Return a session that runs one rtbuild command on one release and fails if the command fails."""

    def run(session: nox.Session) -> None:
        session.run(shared_rtbuild(session), verb, version, *session.posargs)

    run.__doc__ = title
    return run


add_release_sessions()
