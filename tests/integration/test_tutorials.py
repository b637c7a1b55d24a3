"""The tutorials, followed literally: every command of a page, in one shell and in its order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtbuild.engine.engine import Engine
from rtbuild.lockfile.model import Lock
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.integration.child_projects import Builder, connect
from tests.integration.command_line import ROOT, artifacts_of, as_chosen, lend, reaching

pytestmark = [pytest.mark.integration, pytest.mark.large]

_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WAIT = (
    "until docker exec stations airflow tasks states-for-dag-run stations first -o plain"
    " | grep -c success | grep -qx 4; do sleep 5; done\n"
)
"""What a reader does for half a minute between triggering the DAG and reading the states of its tasks."""


def commands(page: str) -> list[str]:
    """Return the blocks of commands on a page of the documentation."""
    return _COMMANDS.findall((ROOT / page).read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who follows pages in a folder, with an environment in which None removes a variable."""

    folder: Path
    variables: Mapping[str, str | None]

    def follow(self, blocks: Sequence[str], *, timeout: float = 900) -> list[str]:
        """Run blocks of commands in one shell that ends at the first failure; return what each printed."""
        # A newline before the mark, since what a command prints need not end with one.
        marked = "".join(f"printf '\\n## {number}\\n'\n{block}" for number, block in enumerate(blocks))
        environment = {**os.environ, **self.variables}
        process = subprocess.run(
            ["bash", "-O", "expand_aliases", "-euo", "pipefail", "-c", marked],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        print(process.stderr + process.stdout)
        assert process.returncode == 0
        return re.split(r"\n## \d+\n", process.stdout)[1:]


@contextmanager
def removed_after(engine: Engine, *references: str, containers: Sequence[str] = ()) -> Iterator[None]:
    """Remove these images and containers after the block."""
    try:
        yield
    finally:
        for container in containers:
            subprocess.run([*engine.endpoint.command(), "rm", "--force", container], capture_output=True, check=False)
        for reference in references:
            engine.remove_image(reference)


def newcomer(room: Path, settings: Settings, lock: Lock, artifacts: Store) -> Reader:
    """Return a reader with a clone and an empty home; only what would be downloaded is in their store already."""
    subprocess.run(["git", "clone", "--quiet", ROOT, room / "rtbuild"], check=True)
    lend(artifacts_of(lock), artifacts, room / "home" / ".cache" / "rtbuild")
    own = [name for name in os.environ if name.startswith(("XDG_", "PYTHON", "VIRTUAL_ENV"))]
    environment = str(Path(sys.executable).parent)  # that of the tests has a rtbuild
    programs = [folder for folder in os.environ["PATH"].split(":") if folder != environment]
    return Reader(
        folder=room / "rtbuild",
        variables={
            **dict.fromkeys(own),
            **as_chosen(settings),
            "HOME": str(room / "home"),
            "PATH": ":".join(programs),
            "RTBUILD_STORE": None,
        },
    )


def without_bridge(block: str) -> str:
    """Return commands as the page says that they are for a private engine, which has no network bridge."""
    return re.sub(r"^docker (build|run) ", r"docker \1 --network host ", block, flags=re.MULTILINE).replace(
        " -p 8080:8080", ""
    )


def test_a_first_image_and_a_project_on_it(
    engine: Engine, settings: Settings, workspace: Workspace, lock: Lock, artifacts: Store, room: Path
) -> None:
    """From a clone of the last commit. The pages' first steps are those of the README."""
    first, project = commands("docs/tutorial/first-build.md"), commands("docs/tutorial/a-project.md")
    assert (len(first), len(project)) == (8, 13)
    assert commands("README.md")[0] == first[0] + first[1]
    activate, alias = first[1], first[5] if engine.private else "\n"
    reader = newcomer(room, settings, lock, artifacts)
    builder = Builder(engine=engine, folder=room)
    images = ("astro-runtime:8.0.0", "astro-runtime:8.0.0-base", "stations")
    with removed_after(engine, *images, containers=["stations"]):
        said = reader.follow([*first[:5], alias, *first[6:]], timeout=2400)
        assert "matches the lock: diff IDs, config digest and manifest digest" in said[0]
        assert len(re.findall(r"^\S+ +\w{12} +cached ", said[2], re.MULTILINE)) == len(lock.layers)
        assert len(re.findall(r"^\S+ +\w{12} +cached ", said[3], re.MULTILINE)) == len(lock.layers)
        assert said[4].endswith(" astro-runtime:8.0.0 airflow standalone\n")
        assert said[6] == "2.6.0\n"
        assert said[7].endswith("\nreproducible\n")

        # Whatever this machine's network needs is in the image that the project is built on.
        connected = connect(builder, "astro-runtime:8.0.0-base", workspace.release("8.0"), settings)
        assert "astro dev start" in project.pop()
        steps = [without_bridge(block) if engine.private else block for block in project]
        steps[0] += f"docker tag {connected} astro-runtime:8.0.0\n"
        steps[8] += _WAIT
        try:
            said = reader.follow([activate, alias, *steps])[2:]
        finally:
            builder.clear()
        assert "4 passed" in said[3]
        assert "1 passed" in said[4]
        assert "Login with username: admin" in said[5]
        assert '"status": "healthy"' in said[6]
        assert said[9].count("success") == 4
        assert "Returned value was: Good morning: four stations, water freezes at 32.0 °F" in said[10]


def test_your_own_image(engine: Engine, settings: Settings, room: Path) -> None:
    blocks = commands("docs/tutorial/your-own-image.md")
    assert len(blocks) == 10
    # A private engine has no docker on the PATH; the page refers to another one for an alias.
    docker = reaching(engine) if engine.private else as_chosen(settings)
    programs = room / "programs"
    programs.mkdir()
    rtbuild = programs / "rtbuild"
    rtbuild.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rtbuild "$@"\n')
    rtbuild.chmod(0o755)
    reader = Reader(
        folder=room,
        variables={
            **docker,
            "PATH": f"{programs}:{docker.get('PATH') or os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "RTBUILD_STORE": str(settings.store),
        },
    )
    try:
        with removed_after(engine, "hello:1.0.0"):
            said = reader.follow(blocks)
        assert "the lock records no digests" in said[3]
        assert len(re.findall(r"^(?:base-os|python) +\w+ +cached ", said[5], re.MULTILINE)) == 2
        assert "hello from an image of my own" in said[7]
        assert "all 6 checks passed" in said[8]
        assert (room / "hello" / "runtime.lock" / "1.0.0").is_dir()
    finally:
        shutil.rmtree(room / "hello", ignore_errors=True)
