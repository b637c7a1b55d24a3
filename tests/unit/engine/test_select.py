from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.engine.private import EngineStatus, engine_status
from rtbuild.engine.select import find_engine
from rtbuild.errors import EngineError
from rtbuild.platform import PLATFORMS
from rtbuild.settings import Settings
from tests.fakes.docker_command import FakeDocker
from tests.fakes.users import somebody


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path / "store", engine_dir=tmp_path / "engine")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without docker; returns where a test may put one."""
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
    engine = find_engine(settings, start=never)
    assert engine.endpoint.docker == bare / "bin/docker"
    assert engine.endpoint.host == "unix:///var/run/docker.sock"
    assert (engine.versions.docker, engine.versions.buildkit, engine.versions.buildx) == (
        "28.3.0",
        "v0.23.0",
        "v0.25.0",
    )
    assert engine.platforms == ("linux/amd64", "linux/amd64/v2", "linux/arm64")
    assert not engine.private


def test_a_bare_machine_is_told_to_start_an_engine(bare: Path, settings: Settings) -> None:
    with pytest.raises(EngineError) as caught:
        find_engine(settings)
    assert caught.value.brief == "there is no engine to build with"
    assert "no command 'docker'" in (caught.value.details or "")
    assert f"'default' of {settings.engine_dir} is not running" in (caught.value.details or "")
    assert "install Docker (BuildKit 0.13 or newer, and buildx); or" in (caught.value.hint or "")
    assert "rtbuild engine start" in (caught.value.hint or "")
    with somebody(), pytest.raises(EngineError) as caught:
        find_engine(settings)
    assert "; or run the command as root" in (caught.value.hint or "")


def test_where_the_docker_will_not_do_the_private_engine_is_started(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, buildx=None).install()
    private = FakeDocker(bare / "private", host="unix:///private.sock", buildkit="v0.13.1").install()
    started: list[bool] = []

    def start() -> EngineStatus:
        started.append(True)
        status = engine_status(settings.engine_dir)
        return replace(status, running=True, docker=private / "docker", host="unix:///private.sock")

    engine = find_engine(settings, start=start)
    assert started == [True]
    assert engine.private
    assert engine.endpoint.docker == private / "docker"


@pytest.mark.parametrize(
    ("fault", "brief", "hint"),
    [
        ({"server": "25.0.6", "buildkit": "v0.12.5"}, "Docker 25.0.6, and 26.0 is the least", "upgrade Docker"),
        ({"server": "24.0.7", "buildkit": "v0.0.0+unknown"}, "Docker 24.0.7", "upgrade Docker"),
        ({"buildkit": "v0.12.5"}, "BuildKit v0.12.5, and 0.13 is the least", "upgrade"),
        ({"buildx": "v0.12.1"}, "buildx v0.12.1, and 0.13 is the least", "upgrade the buildx plugin"),
        ({"buildx": None}, "has no buildx", "install the buildx plugin"),
        ({"store": ""}, "classic store", "containerd-snapshotter"),
        ({"server": ""}, "does not answer", "start its daemon"),
    ],
)
def test_an_engine_that_will_not_do_says_which_part_and_what_mends_it(
    bare: Path, settings: Settings, fault: dict[str, str], brief: str, hint: str
) -> None:
    FakeDocker(bare, **fault).install()
    with pytest.raises(EngineError) as caught:
        find_engine(settings)
    assert brief in (caught.value.details or "")
    assert hint in (caught.value.hint or "")
    assert "rtbuild engine start" in (caught.value.hint or "")


def test_an_unknown_buildkit_is_judged_by_its_docker(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="26.1.5+dfsg1", buildkit="v0.0.0+unknown", buildx="0.13.1+ds1").install()
    assert find_engine(settings, start=never).versions.docker == "26.1.5+dfsg1"


def test_a_named_host_is_taken_or_refused_but_never_passed_over(bare: Path, settings: Settings) -> None:
    fake = FakeDocker(bare, server="25.0.6")
    fake.install()
    named = replace(settings, docker_host="tcp://10.0.0.1:2375")
    with pytest.raises(EngineError, match=r"Docker at tcp://10.0.0.1:2375 is too old"):
        find_engine(named, start=never)
    replace_server = FakeDocker(bare, server="27.0.0")
    replace_server.install()
    assert find_engine(named, start=never).endpoint.host == "tcp://10.0.0.1:2375"


def test_a_named_builder_needs_no_docker_daemon(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, server="", driver="remote", buildkit="v0.14.0").install()
    engine = find_engine(replace(settings, builder="far"), start=never)
    assert (engine.driver, engine.endpoint.builder) == ("remote", "far")


def test_a_named_builder_with_an_old_buildkit_is_refused(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, driver="docker-container", buildkit="v0.11.6").install()
    with pytest.raises(EngineError, match=r"builder 'old' is too old: BuildKit v0.11.6"):
        find_engine(replace(settings, builder="old"), start=never)


def test_a_context_that_does_not_exist_is_named(bare: Path, settings: Settings) -> None:
    fake = FakeDocker(bare)
    fake.install()
    (bare / "answers/context-inspect").write_text("[]")
    with pytest.raises(EngineError, match="there is no Docker context 'nowhere'"):
        find_engine(replace(settings, docker_context="nowhere"), start=never)


def test_a_context_with_certificates_hands_them_on(bare: Path, settings: Settings) -> None:
    FakeDocker(bare).install()
    (bare / "answers/context-inspect").write_text(
        '[{"Endpoints": {"docker": {"Host": "tcp://h:2376"}}, "TLSMaterial": {"docker": ["ca.pem"]},'
        ' "Storage": {"TLSPath": "/c/tls"}}]'
    )
    engine = find_engine(replace(settings, docker_context="far"), start=never)
    assert engine.endpoint.tls == Path("/c/tls/docker")
    assert "--tlsverify" in engine.endpoint.command()


def test_variables_of_the_caller_do_not_choose_the_engine(
    bare: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeDocker(bare)
    fake.install()
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:1")
    find_engine(settings, start=never)
    assert not [call for call in fake.calls() if "elsewhere" in call]


def test_a_docker_that_cannot_be_run_is_an_error_of_the_engine(bare: Path, settings: Settings) -> None:
    (bare / "bin/docker").write_text("#!/no/such/interpreter\n")
    (bare / "bin/docker").chmod(0o755)
    with pytest.raises(EngineError, match="there is no engine"):
        find_engine(settings)


def test_a_foreign_platform_without_an_emulator_says_what_gives_one(bare: Path, settings: Settings) -> None:
    FakeDocker(bare, platforms="linux/amd64, linux/386").install()
    engine = find_engine(settings, start=never)
    engine.require_platform(PLATFORMS["linux/amd64"])
    with pytest.raises(EngineError, match="cannot run programs of linux/arm64") as caught:
        engine.require_platform(PLATFORMS["linux/arm64"])
    assert "apt-get install qemu-user-static" in (caught.value.hint or "")
    assert "qemu-aarch64.conf" in (caught.value.hint or "")
