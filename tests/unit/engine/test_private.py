"""Starting and stopping private engines whose programs are shell scripts."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.engine import private
from rtbuild.engine.processes import start_time
from rtbuild.engine.select import private_engine
from rtbuild.errors import EngineError, IntegrityError
from rtbuild.platform import PLATFORMS, host_platform
from tests.fakes.engine_packages import engine_packages
from tests.fakes.users import NOBODY, require_root, somebody


def test_an_engine_that_was_never_started_has_a_status(tmp_path: Path) -> None:
    status = private.status(tmp_path / "engines")
    assert not status.running
    assert (status.pid, status.packages) == (None, None)
    assert not (tmp_path / "engines").exists()
    assert private.stop(tmp_path / "engines") == status
    with pytest.raises(EngineError, match="is not running"):
        private_engine(status, store=tmp_path / "store")


def test_without_root_the_hint_names_the_alternatives(tmp_path: Path) -> None:
    lock, packages = engine_packages(tmp_path / "debs", "exit 0")
    with somebody(), pytest.raises(EngineError, match="needs root") as caught:
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    assert "sudo" in (caught.value.hint or "")
    assert not (tmp_path / "engines").exists()


def test_a_lock_for_another_platform_is_an_error(tmp_path: Path) -> None:
    (other,) = (platform for platform in PLATFORMS.values() if platform != host_platform())
    lock, packages = engine_packages(tmp_path / "debs", "exit 0", platform=other)
    with pytest.raises(EngineError, match=f"the lock of engine 'default' is for {other}, but this machine is"):
        private.start(lock, packages.__getitem__, tmp_path / "engines")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b"])
def test_a_name_that_is_not_a_folder_name_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="invalid engine name"):
        private.status(tmp_path, name)


def test_the_digest_depends_on_the_packages_only(tmp_path: Path) -> None:
    lock, _ = engine_packages(tmp_path, "exit 0")
    other, _ = engine_packages(tmp_path, "exit 0", version="2")
    assert private.packages_digest(lock.debs) == private.packages_digest(lock.debs[::-1])
    assert private.packages_digest(lock.debs) != private.packages_digest(other.debs)


def test_a_daemon_that_exits_at_once_is_an_error_with_its_own_message(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(
        tmp_path / "debs", 'echo "level=info msg=hello"; echo "failed to start daemon: no cgroups here"; exit 1'
    )
    with pytest.raises(EngineError) as caught:
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    assert caught.value.brief == ("the private engine exited during startup: failed to start daemon: no cgroups here")
    assert "level=info msg=hello" in (caught.value.details or "")
    assert str(tmp_path / "engines/default/dockerd.log") in (caught.value.hint or "")
    status = private.status(tmp_path / "engines")
    assert not status.running
    assert not (Path(status.host.removeprefix("unix://")).parent / "exec").exists()


def test_the_build_cache_has_a_limit(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", "exit 1")
    with pytest.raises(EngineError):
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    settings = json.loads((tmp_path / "engines/default/daemon.json").read_bytes())
    assert settings["features"] == {"containerd-snapshotter": True}
    collection = settings["builder"]["gc"]
    assert collection["enabled"] is True
    # The first policy that fits removes what exceeds its limit; the last one fits everything.
    limits = [(policy.get("all", False), policy["keepStorage"]) for policy in collection["policy"]]
    assert limits == [(False, "1GB"), (True, "2GB")]


def test_an_engine_of_root_is_not_usable_by_others(tmp_path: Path) -> None:
    require_root()
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        path = Path(f"/run/rtbuild-test-{os.getpid()}.sock")
        server.bind(str(path))
        path.chmod(0o600)
        status = replace(private.status(tmp_path / "engines"), running=True, host=f"unix://{path}")
        try:
            with somebody(), pytest.raises(EngineError, match="is owned by another user"):
                private_engine(status, store=tmp_path / "store")
        finally:
            path.unlink()


def test_an_error_shows_the_log_of_the_last_start_only(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", 'echo "failed to start daemon: first"; exit 1')
    with pytest.raises(EngineError, match="first"):
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    lock, packages = engine_packages(tmp_path / "debs", "echo nothing to say; exit 1", version="2")
    with pytest.raises(EngineError) as caught:
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    assert caught.value.brief == "the private engine exited during startup"
    assert caught.value.details == "nothing to say"


@pytest.mark.slow
def test_a_daemon_that_never_answers_is_ended(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    with pytest.raises(EngineError, match=r"did not answer within 1\.5 s"):
        private.start(lock, packages.__getitem__, tmp_path / "engines", timeout=1.5)
    assert start_time(int((tmp_path / "pid").read_text())) is None


def test_a_failed_unpacking_leaves_nothing_behind(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", "exit 1")
    (path,) = packages.values()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(IntegrityError):
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    assert private.status(tmp_path / "engines").packages is None
    assert not (tmp_path / "engines/default/root.new").exists()


def test_a_lock_without_all_programs_is_an_error_that_names_them(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", "exit 0", without=("usr/sbin/runc", "usr/bin/docker"))
    with pytest.raises(EngineError, match="lack programs") as caught:
        private.start(lock, packages.__getitem__, tmp_path / "engines")
    assert caught.value.details == "usr/bin/docker\nusr/sbin/runc"


def test_a_package_that_was_not_fetched_is_an_error(tmp_path: Path) -> None:
    require_root()
    lock, packages = engine_packages(tmp_path / "debs", "exit 0")
    (path,) = packages.values()
    path.unlink()
    with pytest.raises(EngineError, match=f"engine 'default': {path.name} is missing"):
        private.start(lock, packages.__getitem__, tmp_path / "engines")


@pytest.mark.parametrize("content", ["1", "not a pid", "", "99999999"])
def test_a_stale_pid_file_is_ignored_and_removed(tmp_path: Path, content: str) -> None:
    require_root()
    home = tmp_path / "engines/default"
    home.mkdir(parents=True)
    (home / "dockerd.pid").write_text(content)
    assert not private.status(tmp_path / "engines").running
    # Process 1 lives on, and the file is gone
    assert not private.stop(tmp_path / "engines").running
    assert not (home / "dockerd.pid").exists()


def test_an_engine_from_other_packages_is_unpacked_again(tmp_path: Path) -> None:
    require_root()
    for version in ("1", "2"):
        lock, packages = engine_packages(tmp_path / "debs", "exit 1", version=version)
        with pytest.raises(EngineError, match="exited during startup"):
            private.start(lock, packages.__getitem__, tmp_path / "engines")
        status = private.status(tmp_path / "engines")
        assert status.packages == private.packages_digest(lock.debs)
        assert f"# {version}\n" in (status.folder / "root/usr/sbin/dockerd").read_text()


ANSWERING = """
for option in "$@"; do
    case $option in
        --pidfile=*) echo $$ > "${option#*=}" ;;
        --host=unix://*) socket=${option#*//} ;;
    esac
done
cp "@PYTHON@" "$0.new" && mv "$0.new" "$0"
PYTHONHOME="@PREFIX@" exec "$0" -c '
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def address_string(self):
        return "client"
socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
' "$socket"
"""
"""A dockerd that answers pings: the script replaces itself by a Python, because a daemon is known by its program."""


def test_an_engine_that_runs_from_other_packages_is_started_again(tmp_path: Path) -> None:
    require_root()
    script = ANSWERING.replace("@PYTHON@", os.path.realpath(sys.executable)).replace("@PREFIX@", sys.base_prefix)
    engines = tmp_path / "engines"
    try:
        lock, packages = engine_packages(tmp_path / "debs", script)
        first = private.start(lock, packages.__getitem__, engines)
        assert first.running
        assert private.start(lock, packages.__getitem__, engines).pid == first.pid
        other, others = engine_packages(tmp_path / "debs", script, version="2")
        second = private.start(other, others.__getitem__, engines)
        assert second.running
        assert second.pid != first.pid
        assert second.packages == private.packages_digest(other.debs) != first.packages
    finally:
        private.stop(engines)
    assert not private.status(engines).running


def test_a_folder_too_deep_for_sockets_gets_a_short_path_for_them(tmp_path: Path) -> None:
    require_root()
    deep = tmp_path / ("x" * 100)
    status = private.status(deep)
    assert status.host.startswith("unix:///run/rtbuild/")
    assert len(status.host) < 100
    assert status.host != private.status(deep, "other").host
    assert private.status(Path("/e")).host == "unix:///e/default/docker.sock"


def test_only_its_owner_can_enter_the_folder_whatever_the_umask(tmp_path: Path) -> None:
    require_root()
    before = os.umask(0)
    try:
        with pytest.raises(EngineError):
            start_fake(tmp_path, "exit 1")
    finally:
        os.umask(before)
    home = tmp_path / "engines/default"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o755


@pytest.mark.parametrize("path", ["engines", "engines/default"])
def test_programs_that_somebody_else_can_replace_do_not_run(tmp_path: Path, path: str) -> None:
    require_root()
    home = tmp_path / "engines/default"
    home.mkdir(parents=True)
    os.chown(tmp_path / path, NOBODY, NOBODY)
    with pytest.raises(EngineError, match=r"is owned by another user, who could replace programs that run as root"):
        start_fake(tmp_path, "exit 1")
    os.chown(tmp_path / path, 0, 0)
    home.parent.chmod(0o777)
    with pytest.raises(EngineError, match="can be written by every user"):
        start_fake(tmp_path, "exit 1")


def test_a_program_that_was_changed_is_unpacked_again_before_it_runs(tmp_path: Path) -> None:
    require_root()
    planted = tmp_path / "planted"
    with pytest.raises(EngineError):
        start_fake(tmp_path, "exit 1")
    program = tmp_path / "engines/default/root/usr/sbin/dockerd"
    original = program.read_bytes()
    program.write_text(f"#!/bin/sh\ntouch {planted}\n")
    with pytest.raises(EngineError):
        start_fake(tmp_path, "exit 1")
    assert not planted.exists()
    assert program.read_bytes() == original


def start_fake(folder: Path, script: str) -> None:
    """Start an engine whose dockerd is a shell script."""
    lock, packages = engine_packages(folder / "debs", script)
    private.start(lock, packages.__getitem__, folder / "engines")
