"""Another clock and another host name for all containers of a private engine, and for any process.

Linux has one real-time clock for all processes, so a library changes what a program reads: `libfaketime` of the
target's own Debian is preloaded. In containers a wrapper around runc adds it to the container's settings.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rtbuild.engine.debs import unpack_deb
from rtbuild.engine.private import EngineStatus
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.platform import Platform
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.lock import lock_engine
from rtbuild.workspace import Workspace

MOMENT = "2039-03-04 05:06:07"
"""The time when a process starts (UTC). It is later than any package, because packages from the future are refused."""

HOST = "elsewhere"

_RECIPE = """
title = "libfaketime"

[packages]
libfaketime = "bullseye"

[[suite]]
archive = "debian"
suite = "bullseye"
check_valid_until = false
"""

_SLEEP = """\
# libfaketime (0.9.8, 0.9.10) fails clock_nanosleep(2) with an absolute time, which Python uses since 3.11
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""

_WRAPPER = """\
import json, os, sys

arguments = sys.argv[1:]
if "--bundle" in arguments:
    path = os.path.join(arguments[arguments.index("--bundle") + 1], "config.json")
    with open(path) as file:
        spec = json.load(file)
    spec["hostname"] = {host!r}
    spec["process"]["env"] += {environment!r}
    # below /dev, which belongs to the container: a mount elsewhere would leave an empty file in the layer
    spec["mounts"].append(
        {{"destination": {target!r}, "type": "bind", "source": {source!r}, "options": ["bind", "ro"]}}
    )
    with open(path, "w") as file:
        json.dump(spec, file)
os.execv({runc!r}, [{runc!r}, *arguments])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseClock:
    """A clock that is years ahead, for processes that preload `library`."""

    library: Path

    @classmethod
    def get(cls, platform: Platform, settings: Settings, store: Store, folder: Path) -> FalseClock:
        """Fetch the library from the machine's mirrors and unpack it into `folder`."""
        recipe = folder / "project" / "recipes" / "engines" / "clock.toml"
        recipe.parent.mkdir(parents=True)
        recipe.write_text(_RECIPE)
        workspace = Workspace.find(folder / "project")
        lock = lock_engine(workspace, "clock", platform=platform, settings=replace(settings, store=store.root)).lock
        fetch_artifacts(lock.debs, store, settings)
        for deb in lock.debs:
            unpack_deb(store.artifact_path(deb.sha256), folder / "root")
        (library,) = (folder / "root").rglob("libfaketimeMT.so.1")
        return cls(library=library)

    def environment(self, library: str | None = None) -> dict[str, str]:
        """Return the variables for a process with this clock; `library` is the path at which it sees the library."""
        return {
            "LD_PRELOAD": library or str(self.library),
            "FAKETIME": f"@{MOMENT}",
            # Waiting for a number of seconds must still work
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # The times of files are the kernel's, and programs must read them unchanged
            "NO_FAKE_STAT": "1",
        }

    def before_python(self, folder: Path, path: str) -> list[str]:
        """Return the start of a command line that runs Python with this clock.

        `folder` gets a module for it, `path` is its PYTHONPATH. Its parent processes do not have the clock: the library
        shares memory with child processes, and those of another user could not open it.
        """
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SLEEP)
        variables = {**self.environment(), "PYTHONPATH": f"{folder}:{path}"}
        return ["env", *(f"{name}={value}" for name, value in variables.items())]

    def put_into(self, engine: EngineStatus) -> None:
        """Give all containers of a private engine this clock and the host name `HOST`."""
        root = engine.folder / "root"
        (runc,) = (path for path in root.glob("usr/*bin/runc") if not path.is_symlink())
        real = runc.with_name("runc.real")
        if not real.exists():
            shutil.move(runc, real)
        target = "/dev/libfaketime.so.1"
        script = engine.folder / "runc.py"
        environment = [f"{name}={value}" for name, value in self.environment(target).items()]
        script.write_text(
            _WRAPPER.format(host=HOST, environment=environment, target=target, source=str(self.library), runc=str(real))
        )
        runc.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", str(script)])} "$@"\n')
        runc.chmod(0o755)
