"""Which engine is chosen, and why one is not usable."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbuild.engine import private
from rtbuild.engine.private import EngineStatus
from rtbuild.engine.select import find, find_docker
from rtbuild.errors import EngineError
from rtbuild.platform import PLATFORMS, host_platform
from rtbuild.settings import Settings
from tests.fakes.docker_command import FakeDocker
from tests.fakes.users import somebody


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path / "store", engine_dir=tmp_path / "engine")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a PATH without docker, and the folder where a test may put one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("env", "sh", "cat"):
        (programs / name).symlink_to(next(Path(f) / name for f in os.defpath.split(":") if (Path(f) / name).exists()))
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path


def never() -> EngineStatus:
    raise AssertionError("the private engine must not be started")


def test_a_machine_with_a_new_docker_uses_it(bare: Path, settings: Settings) -> None:
    FakeDocker(bare).install()
    engine = find(settings, start=never)
    assert engine.endpoint.docker == bare / "bin/docker"
    assert engine.endpoint.host == "unix:///var/run/docker.sock"
    assert (engine.versions.docker, engine.versions.buildkit, engine.versions.buildx) == (
        "28.3.0",
        "v0.23.0",
        "v0.25.0",
    )
    assert engine.platforms == ("linux/amd64", "linux/amd64/v2", "linux/arm64")
    assert not engine.private


def test_without_docker_the_hint_is_to_start_an_engine(bare: Path, settings: Settings) -> None:
    with pytest.raises(EngineError) as caught:
        find(settings)
    assert caught.value.brief == "no usable engine found"
    assert caught.value.details == (
        f"no `docker` command on the PATH\nthe private engine 'default' in {settings.engine_dir} is not running"
    )
    docker = "install Docker (BuildKit 0.13 or newer, and buildx)"
    assert caught.value.hint == f"{docker}, or start a private engine with `rtbuild engine start`"
    with somebody(), pytest.raises(EngineError) as caught:
        find(settings)
    rtbuild = f"{sys.executable} -m rtbuild"  # sudo has a PATH of its own, so the hint does not rely on it
    assert (
        caught.value.hint
        == f"{docker}, or run the command as root, which starts a private engine: `sudo {rtbuild} ...`"
    )


def test_the_private_engine_is_started_if_the_docker_is_not_usable(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, buildx=None).install()
    programs = FakeDocker(bare / "private", host="unix:///private.sock", buildkit="v0.13.1").install()
    started: list[bool] = []

    def start() -> EngineStatus:
        started.append(True)
        status = private.status(settings.engine_dir)
        return replace(status, running=True, docker=programs / "docker", host="unix:///private.sock")

    engine = find(settings, start=start)
    assert started == [True]
    assert engine.private
    assert engine.reason == f"{bare / 'bin/docker'} has no buildx plugin"
    assert engine.endpoint.docker == programs / "docker"


@pytest.mark.parametrize(
    ("defect", "reason", "hint"),
    [
        (
            {"server": "25.0.6", "buildkit": "v0.12.5"},
            "the machine's Docker: Docker 25.0.6 is too old; 26.0 or newer is required",
            "upgrade Docker",
        ),
        ({"server": "24.0.7", "buildkit": "v0.0.0+unknown"}, "Docker 24.0.7 is too old", "upgrade Docker"),
        ({"buildkit": "v0.12.5"}, "BuildKit v0.12.5 is too old; 0.13 or newer is required", "upgrade"),
        ({"buildx": "v0.12.1"}, "buildx v0.12.1 is too old; 0.13 or newer is required", "upgrade the buildx plugin"),
        ({"buildx": None}, "has no buildx plugin", "install docker-buildx"),
        ({"store": ""}, "the machine's Docker uses the classic image store", "containerd-snapshotter"),
        ({"server": ""}, "the machine's Docker does not answer", "start the Docker daemon"),
    ],
)
def test_the_error_names_the_part_that_is_not_usable_and_the_remedy(
    bare: Path, settings: Settings, defect: dict[str, Any], reason: str, hint: str
) -> None:
    FakeDocker(bare, **defect).install()
    with pytest.raises(EngineError) as caught:
        find(settings)
    assert reason in (caught.value.details or "")
    assert hint in (caught.value.hint or "")
    assert "rtbuild engine start" in (caught.value.hint or "")


def test_docker_decides_for_a_buildkit_of_unknown_version(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="26.1.5+dfsg1", buildkit="v0.0.0+unknown", buildx="0.13.1+ds1").install()
    assert find(settings, start=never).versions.docker == "26.1.5+dfsg1"


def test_a_named_host_is_used_or_an_error_but_never_replaced(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="25.0.6").install()
    named = replace(settings, docker_host="tcp://10.0.0.1:2375")
    with pytest.raises(EngineError, match=r"Docker at tcp://10\.0\.0\.1:2375: Docker 25\.0\.6 is too old"):
        find(named, start=never)
    FakeDocker(bare, server="27.0.0").install()
    assert find(named, start=never).endpoint.host == "tcp://10.0.0.1:2375"


def test_a_named_builder_needs_no_docker_daemon(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="", driver="remote", buildkit="v0.14.0").install()
    engine = find(replace(settings, builder="far"), start=never)
    assert (engine.driver, engine.endpoint.builder) == ("remote", "far")


def test_a_named_builder_with_an_old_buildkit_is_an_error(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, driver="docker-container", buildkit="v0.11.6").install()
    with pytest.raises(EngineError, match=r"builder 'old': BuildKit v0\.11\.6 is too old"):
        find(replace(settings, builder="old"), start=never)


def test_an_unknown_context_is_an_error_that_names_it(bare: Path, settings: Settings) -> None:
    fake = FakeDocker(bare)
    fake.install()
    (bare / "answers/context-inspect").write_text("[]")
    with pytest.raises(EngineError, match="unknown Docker context 'nowhere'"):
        find(replace(settings, docker_context="nowhere"), start=never)


def test_the_certificates_of_a_context_are_used(bare: Path, settings: Settings) -> None:
    FakeDocker(bare).install()
    (bare / "answers/context-inspect").write_text(
        '[{"Endpoints": {"docker": {"Host": "tcp://h:2376"}}, "TLSMaterial": {"docker": ["ca.pem"]},'
        ' "Storage": {"TLSPath": "/c/tls"}}]'
    )
    engine = find(replace(settings, docker_context="far"), start=never)
    assert engine.endpoint.tls == Path("/c/tls/docker")
    assert "--tlsverify" in engine.endpoint.command()


def test_variables_of_the_user_do_not_choose_the_engine(
    bare: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeDocker(bare)
    fake.install()
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:1")
    find(settings, start=never)
    assert not [call for call in fake.calls() if "elsewhere" in call]


def test_a_docker_command_that_cannot_run_is_an_engine_error(bare: Path, settings: Settings) -> None:
    (bare / "bin/docker").write_text("#!/no/such/interpreter\n")
    (bare / "bin/docker").chmod(0o755)
    with pytest.raises(EngineError, match="no usable engine found"):
        find(settings)


def test_a_foreign_platform_needs_an_emulator_and_the_hint_installs_one(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, platforms="linux/amd64, linux/386").install()
    engine = find(settings, start=never)
    engine.require_platform(PLATFORMS["linux/amd64"])
    with pytest.raises(EngineError, match="cannot run programs for linux/arm64") as caught:
        engine.require_platform(PLATFORMS["linux/arm64"])
    assert "apt-get install qemu-user-static" in (caught.value.hint or "")
    assert "qemu-aarch64.conf" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "defect",
    [{"store": ""}, {"server": "20.10.24+dfsg1", "buildx": None, "store": ""}, {"buildx": "v0.1.0"}],
)
def test_any_docker_that_answers_gets_images(bare: Path, settings: Settings, defect: dict[str, Any]) -> None:
    fake = FakeDocker(bare, **defect)
    fake.install()
    docker = find_docker(settings, start=never)
    assert (docker.endpoint.host, docker.endpoint.spelled) == (fake.host, ("docker",))
    assert docker.versions.docker == fake.server
    assert (docker.private, docker.reason) == (False, "")
    docker.require_platform(host_platform())
    docker = find_docker(replace(settings, docker_context="far"), start=never)
    assert docker.endpoint.spelled == ("docker", "--context", "far")
    assert find_docker(replace(settings, docker_host="tcp://h:1"), start=never).endpoint.command()[1:] == [
        "--host",
        "tcp://h:1",
    ]


def test_images_go_into_the_private_engine_if_there_is_no_docker(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="").install()
    programs = FakeDocker(bare / "private", host="unix:///private.sock").install()
    status = private.status(settings.engine_dir)
    running = replace(status, running=True, docker=programs / "docker", host="unix:///private.sock")
    docker = find_docker(settings, start=lambda: running)
    assert docker.private
    assert docker.reason == "the machine's Docker does not answer"
    with pytest.raises(EngineError, match="no usable engine found"):
        find_docker(settings)


def test_images_of_a_builder_go_into_the_docker_of_the_machine(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, driver="docker-container", store="").install()
    docker = find_docker(replace(settings, builder="far"), start=never)
    assert docker.endpoint.builder is None
    assert docker.endpoint.host == "unix:///var/run/docker.sock"


def test_a_named_docker_that_does_not_answer_is_an_error_that_names_the_setting(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="").install()
    for look in (find, find_docker):
        with pytest.raises(EngineError, match=r"Docker at tcp://h:1 does not answer") as caught:
            look(replace(settings, docker_host="tcp://h:1"), start=never)
        assert "DOCKER_HOST" in (caught.value.hint or "")


def test_a_socket_of_others_is_not_told_to_be_started(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="").install()
    (bare / "answers/info.stderr").write_text("permission denied while trying to connect to the Docker daemon socket")
    with pytest.raises(EngineError) as caught:
        find(settings)
    assert "the machine's Docker: no permission to use it" in (caught.value.details or "")
    assert "start the Docker" not in (caught.value.hint or "")
    assert "group `docker`" in (caught.value.hint or "")
