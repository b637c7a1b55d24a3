from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.engine.private import engine_status, packages_digest, start_engine, stop_engine
from rtbuild.engine.processes import start_time
from rtbuild.engine.select import private_engine
from rtbuild.errors import EngineError, IntegrityError
from rtbuild.platform import PLATFORMS, host_platform
from tests.fakes.engine_packages import engine_packages
from tests.fakes.users import somebody

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a private engine needs root on Linux, even one that is a fake"
)


def test_an_engine_that_was_never_started_has_a_status(tmp_path: Path) -> None:
    status = engine_status(tmp_path / "engines")
    assert not status.running
    assert (status.pid, status.packages) == (None, None)
    assert not (tmp_path / "engines").exists()
    assert stop_engine(tmp_path / "engines") == status
    with pytest.raises(EngineError, match="is not running"):
        private_engine(status, store=tmp_path / "store")


def test_without_root_it_says_so_and_what_else_there_is(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", "exit 0")
    with somebody(), pytest.raises(EngineError, match="needs root") as caught:
        start_engine(lock, packages, tmp_path / "engines")
    assert "sudo" in (caught.value.hint or "")
    assert not (tmp_path / "engines").exists()


def test_a_lock_for_another_platform_is_refused(tmp_path: Path) -> None:
    (other,) = (one for one in PLATFORMS.values() if one != host_platform())
    lock, packages = engine_packages(tmp_path / "debs", "exit 0", platform=other)
    with pytest.raises(EngineError, match=f"is for {other}"):
        start_engine(lock, packages, tmp_path / "engines")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="cannot be called"):
        engine_status(tmp_path, name)


def test_the_digest_is_of_the_packages_alone(tmp_path: Path) -> None:
    lock, _ = engine_packages(tmp_path, "exit 0")
    other, _ = engine_packages(tmp_path, "exit 0", version="2")
    assert packages_digest(lock.debs) == packages_digest(lock.debs[::-1])
    assert packages_digest(lock.debs) != packages_digest(other.debs)


@as_root
def test_a_daemon_that_ends_at_once_shows_its_own_words(tmp_path: Path) -> None:
    lock, packages = engine_packages(
        tmp_path / "debs", 'echo "level=info msg=hello"; echo "failed to start daemon: no cgroups here"; exit 1'
    )
    with pytest.raises(EngineError) as caught:
        start_engine(lock, packages, tmp_path / "engines")
    assert caught.value.brief == (
        "the private engine ended as soon as it was started: failed to start daemon: no cgroups here"
    )
    assert "level=info msg=hello" in (caught.value.details or "")
    assert str(tmp_path / "engines/default/dockerd.log") in (caught.value.hint or "")
    status = engine_status(tmp_path / "engines")
    assert not status.running
    assert not (Path(status.host.removeprefix("unix://")).parent / "exec").exists()


@as_root
def test_an_engine_of_root_is_not_for_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        path = Path(f"/run/rtbuild-test-{os.getpid()}.sock")
        server.bind(str(path))
        path.chmod(0o600)
        status = replace(engine_status(tmp_path / "engines"), running=True, host=f"unix://{path}")
        try:
            with somebody(), pytest.raises(EngineError, match="is another user's"):
                private_engine(status, store=tmp_path / "store")
        finally:
            path.unlink()


@as_root
def test_only_the_last_start_is_quoted(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", 'echo "failed to start daemon: first"; exit 1')
    with pytest.raises(EngineError, match="first"):
        start_engine(lock, packages, tmp_path / "engines")
    lock, packages = engine_packages(tmp_path / "debs", "echo nothing to say; exit 1", version="2")
    with pytest.raises(EngineError) as caught:
        start_engine(lock, packages, tmp_path / "engines")
    assert caught.value.brief == "the private engine ended as soon as it was started"
    assert caught.value.details == "nothing to say"


@as_root
def test_a_daemon_that_never_answers_is_ended(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    with pytest.raises(EngineError, match=r"did not answer within 3 s"):
        start_engine(lock, packages, tmp_path / "engines", timeout=3)
    assert start_time(int((tmp_path / "pid").read_text())) is None


@as_root
def test_an_unpacking_that_fails_leaves_nothing_that_counts(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", "exit 1")
    (path,) = packages.values()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(IntegrityError):
        start_engine(lock, packages, tmp_path / "engines")
    assert engine_status(tmp_path / "engines").packages is None
    assert not (tmp_path / "engines/default/root.new").exists()


@as_root
def test_a_lock_without_all_programs_names_what_is_missing(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", "exit 0", without=("usr/sbin/runc", "usr/bin/docker"))
    with pytest.raises(EngineError, match="lacks programs") as caught:
        start_engine(lock, packages, tmp_path / "engines")
    assert caught.value.details == "usr/bin/docker\nusr/sbin/runc"


@as_root
def test_a_package_that_was_not_fetched_is_an_error(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", "exit 0")
    packages.clear()
    with pytest.raises(EngineError, match="was not fetched"):
        start_engine(lock, packages, tmp_path / "engines")


@as_root
@pytest.mark.parametrize("content", ["1", "not a pid", "", "99999999"])
def test_a_stale_pid_file_is_not_believed(tmp_path: Path, content: str) -> None:
    home = tmp_path / "engines/default"
    home.mkdir(parents=True)
    (home / "dockerd.pid").write_text(content)
    assert not engine_status(tmp_path / "engines").running
    # Process 1 lives on, and the file is gone
    assert not stop_engine(tmp_path / "engines").running
    assert not (home / "dockerd.pid").exists()


@as_root
def test_an_engine_that_is_not_wanted_any_more_is_unpacked_anew(tmp_path: Path) -> None:
    for version in ("1", "2"):
        lock, packages = engine_packages(tmp_path / "debs", "exit 1", version=version)
        with pytest.raises(EngineError, match="ended as soon"):
            start_engine(lock, packages.__getitem__, tmp_path / "engines")
        status = engine_status(tmp_path / "engines")
        assert status.packages == packages_digest(lock.debs)
        assert f"# {version}\n" in (status.folder / "root/usr/sbin/dockerd").read_text()


@as_root
def test_a_folder_too_deep_for_sockets_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    status = engine_status(deep)
    assert status.host.startswith("unix:///run/rtbuild/")
    assert len(status.host) < 100
    assert status.host != engine_status(deep, "other").host
    assert engine_status(Path("/e")).host == "unix:///e/default/docker.sock"
