"""`rtbuild plan` on a store that holds nothing, a part, or layers made from other inputs."""

from __future__ import annotations

from rtbuild.derivations.plan import Plan, plan_release
from rtbuild.lockfile.model import Lock
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer, realise
from tests.fakes.workspaces import put

PLAN = ("plan", "8.0", "--platform", "linux/amd64")


def planned(workspace: Workspace, store: Store) -> Plan:
    return plan_release(workspace.release("8.0.0"), workspace.read_lock("8.0.0", AMD64), store)


def test_everything_is_missing_from_an_empty_store(run: Run, lock: Lock) -> None:
    result = run(*PLAN, "--json")
    assert result.exit_code == 0
    document = answer(result)
    assert (document["release"], document["platform"]) == ("8.0.0", "linux/amd64")
    assert [layer["name"] for layer in document["layers"]] == ["base-os", "python", "airflow", "providers"]
    assert {layer["state"] for layer in document["layers"]} == {"build"}
    assert [set(layer) for layer in document["layers"]] == [{"name", "key", "state", "reason"}] * 4
    assert document["layers"][1]["key"] is None, "the key of python hangs on what base-os gives"


def test_plan_as_a_table(run: Run, lock: Lock, workspace: Workspace, store: Store) -> None:
    realise(store, planned(workspace, store), "base-os")
    airflow = planned(workspace, store).layers[2].key
    assert airflow is not None
    result = run(*PLAN)
    assert result.exit_code == 0
    title, head, base_os, *_, third, _ = result.stdout.splitlines()
    assert title == "8.0.0 for linux/amd64"
    assert head.split() == ["layer", "key", "state", "reason"]
    assert base_os.split()[0] == "base-os"
    assert base_os.split()[2] == "cached"
    assert third.split()[:3] == ["airflow", airflow[:12], "build"]


def test_the_changed_input_is_named(run: Run, lock: Lock, workspace: Workspace, store: Store) -> None:
    before = planned(workspace, store)
    realise(store, before, "airflow")
    realise(store, before, "base-os")
    put(workspace.root / "recipes" / "layers" / "base-os" / "motd", "good bye\n")
    layers = {layer["name"]: layer for layer in answer(run(*PLAN, "--json"))["layers"]}
    assert layers["airflow"]["state"] == "cached", "a Python layer does not hang on the one below"
    assert layers["base-os"]["state"] == "build"
    assert "/etc/motd changed" in layers["base-os"]["reason"]


def test_a_stale_lock_is_told(run: Run, lock: Lock, workspace: Workspace) -> None:
    fresh = run(*PLAN, "--json")
    assert answer(fresh)["stale"] == []
    put(workspace.root / "recipes" / "layers" / "base-os" / "motd", "good bye\n")
    problem = "recipes/layers/base-os/motd has changed since the lock was made"
    assert answer(run(*PLAN, "--json"))["stale"] == [problem]
    assert run(*PLAN).stdout.splitlines()[-2:] == [
        "the lock is stale; before a build, update it with: rtbuild lock 8.0.0 --platform linux/amd64",
        f"  {problem}",
    ]


def test_a_release_without_a_lock(run: Run) -> None:
    result = run(*PLAN)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "runtime.lock/8.0.0/linux-amd64.toml" in result.stderr
    assert "hint: create it with: rtbuild lock 8.0.0 --platform linux/amd64" in result.stderr


def test_a_platform_that_the_release_is_not_made_for(run: Run, lock: Lock) -> None:
    result = run("plan", "8.0", "--platform", "linux/arm64")
    assert result.exit_code == 1
    assert "8.0.0" in result.stderr
    assert "linux/arm64" in result.stderr


def test_several_platforms_and_their_short_names(run: Run, lock: Lock) -> None:
    assert answer(run("plan", "8.0", "--platform", "amd64", "--json"))["platform"] == "linux/amd64"
    assert answer(run("plan", "8.0", "--platform", "linux/amd64,x86_64", "--json"))["platform"] == "linux/amd64"
