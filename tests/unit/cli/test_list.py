"""`rtbuild list`: releases, and what of them is locked and built."""

from __future__ import annotations

from rtbuild.derivations.plan import Plan, plan_release
from rtbuild.lockfile.model import Lock
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer, realise
from tests.fakes.workspaces import put


def planned(workspace: Workspace, store: Store) -> Plan:
    return plan_release(workspace.release("8.0.0"), workspace.read_lock("8.0.0", AMD64), store)


def test_list(run: Run, lock: Lock, workspace: Workspace, store: Store) -> None:
    head, row = run("list").stdout.splitlines()
    assert head.split() == ["release", "airflow", "python", "os", "platforms", "support", "locked", "built"]
    assert row.split() == ["8.0.0", "2.6.0", "3.9", "Debian", "11", "amd64", "stable", "until", "2023-11", "amd64", "-"]
    for name in ("base-os", "python", "airflow", "providers"):
        realise(store, planned(workspace, store), name)
    (release,) = answer(run("list", "--json"))["releases"]
    assert release["built"] == ["linux/amd64"]
    assert release["support"] == {"status": "stable", "until": "2023-11"}


def test_list_without_locks(run: Run) -> None:
    (release,) = answer(run("--json", "list"))["releases"]
    assert (release["version"], release["locked"], release["built"]) == ("8.0.0", [], [])


def test_list_of_a_release_without_airflow(run: Run, workspace: Workspace) -> None:
    put(
        workspace.root / "recipes" / "releases" / "8.0.0.toml",
        'os = "Debian 13"\nas_of = 2026-11-01T00:00:00Z\nplatforms = ["linux/amd64"]\nlayers = ["base-os"]\n',
    )
    _, row = run("list").stdout.splitlines()
    assert row.split() == ["8.0.0", "-", "-", "Debian", "13", "amd64", "-", "-", "-"]
    (release,) = answer(run("list", "--json"))["releases"]
    assert [release[name] for name in ("airflow", "python", "released", "support")] == [None] * 4
