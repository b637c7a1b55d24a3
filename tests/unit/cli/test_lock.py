"""`rtbuild lock`: which locks are stale, and what is written. Nothing here is resolved, so no mirror is asked."""

from __future__ import annotations

import pytest

from rtbuild.lockfile.model import Lock
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.fitting_lock import write_fitting_lock
from tests.fakes.patches import write_patch
from tests.fakes.workspaces import RELEASE, put

HERE = ("--platform", "linux/amd64")


def test_a_lock_that_fits(run: Run, lock: Lock) -> None:
    result = run("lock", "8.0", "--check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "8.0.0 for linux/amd64: the lock is up to date\n"
    assert answer(run("lock", "--check", "--json")) == {"fresh": [{"release": "8.0.0", "platform": "linux/amd64"}]}


def test_a_lock_that_went_stale(run: Run, lock: Lock, workspace: Workspace) -> None:
    changed = RELEASE.replace('apache-airflow-providers-http = "4.3.0"', 'apache-airflow-providers-http = "4.4.0"')
    put(workspace.root / "recipes" / "releases" / "8.0.0.toml", changed)
    result = run("lock", "8.0", "--check")
    assert (result.exit_code, result.stdout) == (1, "")
    first, *causes, hint = result.stderr.splitlines()
    assert first == "error: the lock is stale"
    assert any("recipes/releases/8.0.0.toml has changed" in cause for cause in causes)
    assert any("apache-airflow-providers-http" in cause and "4.3.0" in cause for cause in causes)
    assert hint == "hint: update with: rtbuild lock 8.0.0 --platform linux/amd64"


def test_a_lock_that_is_not_there(run: Run) -> None:
    result = run("lock", "--check", "--json")
    assert result.exit_code == 1
    assert "there is no lock of 8.0.0 for linux/amd64" in answer(result)["cause"]


def test_a_lock_with_a_wrong_digit(run: Run, lock: Lock, workspace: Workspace) -> None:
    path = workspace.lock_path("8.0.0", AMD64)
    path.write_text(path.read_text().replace("a" * 64, "a" * 63, 1))
    result = run("plan", "8.0", *HERE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "runtime.lock/8.0.0/linux-amd64.toml: deb[0].sha256" in result.stderr


def test_a_lock_that_fits_is_not_written(run: Run, workspace: Workspace) -> None:
    write_fitting_lock(workspace)
    result = run("lock", "8.0", *HERE, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "runtime.lock/8.0.0/linux-amd64.toml: 5 Debian and 5 Python packages, unchanged",
        "  debian bullseye: InRelease of 2023-04-29 09:08 UTC",
    ]


def test_what_moved_is_listed(run: Run, workspace: Workspace) -> None:
    write_fitting_lock(workspace)
    put(workspace.root / "recipes/releases/8.0.0.toml", RELEASE.replace("extras =", 'patches = ["more"]\nextras ='))
    write_patch(workspace.root, "more")
    result = run("lock", "-q", "--json")
    assert result.exit_code == 0
    document = answer(result)
    (moved,) = document.pop("moved")
    assert document == {
        "release": "8.0.0",
        "platform": "linux/amd64",
        "path": str(workspace.lock_path("8.0.0", AMD64)),
        "debs": 5,
        "pythons": 5,
        "suites": [
            {
                "archive": "debian",
                "suite": "bullseye",
                "snapshot": None,
                "date": "2023-04-29T09:08:07+00:00",
                "valid_until": None,
                "sha256": "d" * 64,
                "expired": False,
            }
        ],
        "changed": True,
    }
    assert moved["name"] == "apache-airflow-providers-http"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--check", "--refresh"), "--check writes nothing"),
        (("--check", "-P", "pip"), "--check writes nothing"),
        (("--refresh", "-P", "pip"), "--refresh upgrades everything"),
        (("-P", "pip>=23"), "'pip>=23' is neither NAME nor NAME==VERSION"),
        (("-P", "pip=="), "'pip==' is neither NAME nor NAME==VERSION"),
    ],
)
def test_options_that_contradict_each_other(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("lock", "8.0", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_an_upgrade_of_a_package_that_is_not_locked(run: Run, workspace: Workspace) -> None:
    write_fitting_lock(workspace)
    result = run("lock", "8.0", *HERE, "-q", "-P", "eggs==1.0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: eggs is not locked")
