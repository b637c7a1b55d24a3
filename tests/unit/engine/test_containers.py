"""Running commands in containers, with a fake daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbuild.engine.containers import Mount, run, running
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError
from tests.fakes.container_daemon import ContainerDaemon, Script


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerDaemon]:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with ContainerDaemon(Path("docker.sock")) as running:
        running.host = f"unix://{tmp_path}/docker.sock"
        yield running


@pytest.fixture
def endpoint(daemon: ContainerDaemon) -> Endpoint:
    return Endpoint(docker=Path("docker"), host=daemon.host, title="the fake")


def test_both_streams_of_a_command_are_returned_and_its_container_is_removed(
    daemon: ContainerDaemon, endpoint: Endpoint
) -> None:
    daemon.script = Script(output=[(1, b"one "), (2, b"warning"), (1, b"two\n")], exit_code=3)
    outcome = run(endpoint, "one", ["work"])
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, b"one two\n", b"warning")
    assert outcome.text == "one two"
    assert daemon.calls == ["create", "start", "remove"]


def test_every_option_of_a_container_reaches_the_daemon(
    daemon: ContainerDaemon, endpoint: Endpoint, tmp_path: Path
) -> None:
    run(
        endpoint,
        "one",
        ["work", "hard"],
        user="50000:0",
        env={"A": "b"},
        mounts=[Mount(source=tmp_path, target="/in"), Mount(source=tmp_path, target="/out", read_only=False)],
        network="host",
        workdir="/work",
        entrypoint=[],
        read_only=True,
    )
    created, host = daemon.created, daemon.created["HostConfig"]
    assert (created["Cmd"], created["User"], created["Env"]) == (["work", "hard"], "50000:0", ["A=b"])
    assert (created["WorkingDir"], created["Entrypoint"]) == ("/work", [""])
    assert (host["NetworkMode"], host["ReadonlyRootfs"]) == ("host", True)
    assert host["Mounts"] == [
        {"Type": "bind", "Source": str(tmp_path), "Target": "/in", "ReadOnly": True},
        {"Type": "bind", "Source": str(tmp_path), "Target": "/out", "ReadOnly": False},
    ]


def test_by_default_a_container_is_as_in_the_image_and_has_no_network(
    daemon: ContainerDaemon, endpoint: Endpoint
) -> None:
    run(endpoint, "one")
    assert daemon.created["HostConfig"]["NetworkMode"] == "none"
    assert {name: daemon.created.get(name) for name in ("Cmd", "Entrypoint", "User", "WorkingDir")} == {
        "Cmd": None,
        "Entrypoint": None,
        "User": None,
        "WorkingDir": None,
    }


def test_a_missing_image_is_an_error_that_names_it(endpoint: Endpoint) -> None:
    with pytest.raises(EngineError, match="the fake has no image two"):
        run(endpoint, "two")
    with pytest.raises(EngineError, match="the fake has no image two"), running(endpoint, "two"):
        pytest.fail("it runs")


def test_a_container_that_cannot_start_is_removed(daemon: ContainerDaemon, endpoint: Endpoint) -> None:
    daemon.script = Script(refuses="exec: not found")
    with pytest.raises(EngineError, match="the fake refused: exec: not found"):
        run(endpoint, "one")
    with pytest.raises(EngineError, match="the fake refused: exec: not found"), running(endpoint, "one"):
        pytest.fail("it runs")
    assert daemon.calls == ["create", "start", "remove"] * 2


def test_a_command_that_takes_too_long_is_killed_and_its_output_shown(
    daemon: ContainerDaemon, endpoint: Endpoint
) -> None:
    daemon.script = Script(output=[(2, b"still waiting")], hangs=True)
    with pytest.raises(EngineError, match=r"one: the command did not end within 0.2 s") as caught:
        run(endpoint, "one", timeout=0.2)
    assert caught.value.details == "still waiting"
    assert daemon.calls == ["create", "start", "kill", "remove"]


def test_a_running_container_is_inspected_used_and_stopped(daemon: ContainerDaemon, endpoint: Endpoint) -> None:
    daemon.script = Script(output=[(1, b"up\n"), (2, b"warning\n")], hangs=True)
    with running(endpoint, "one", ["serve"], network="host") as container:
        assert container.exit_code is None
        assert container.logs() == "up\nwarning\n"
        daemon.script = Script(output=[(1, b"answer"), (2, b"aside")], exit_code=4)
        outcome = container.exec(["ask", "it"])
        assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (4, b"answer", b"aside")
        container.signal("SIGHUP")
        assert container.stop(2.5) == 137
        assert container.exit_code == 137
    assert daemon.calls == ["create", "start", "exec ask it", "kill SIGHUP", "stop 3", "remove"]


def test_an_error_in_the_block_removes_the_container_too(daemon: ContainerDaemon, endpoint: Endpoint) -> None:
    daemon.script = Script(hangs=True)
    with pytest.raises(ZeroDivisionError), running(endpoint, "one"):
        print(1 / 0)
    assert daemon.calls == ["create", "start", "remove"]


def test_waiting_for_a_container_ends_at_its_timeout(daemon: ContainerDaemon, endpoint: Endpoint) -> None:
    daemon.script = Script(output=[(1, b"busy")], hangs=True)
    with running(endpoint, "one") as container:
        with pytest.raises(EngineError, match=r"one: the container did not end within 0.2 s") as caught:
            container.wait(0.2)
        assert caught.value.details == "busy"
        daemon.end(7)
        assert container.wait(60) == 7


def test_a_second_command_that_takes_too_long_leaves_the_container_running(
    daemon: ContainerDaemon, endpoint: Endpoint
) -> None:
    daemon.script = Script(output=[(1, b"thinking")], hangs=True)
    with running(endpoint, "one") as container:
        with pytest.raises(EngineError, match=r"did not end within 0.2 s") as caught:
            container.exec(["think"], timeout=0.2)
        assert caught.value.details == "thinking"
        assert container.exit_code is None


def test_a_container_that_ended_can_be_started_again(daemon: ContainerDaemon, endpoint: Endpoint) -> None:
    with running(endpoint, "one") as container:
        assert container.wait(60) == 0
        container.start()
    assert daemon.calls == ["create", "start", "start", "remove"]
