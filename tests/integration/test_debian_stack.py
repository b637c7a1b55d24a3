"""Three Debian layers, each on the one before: dpkg and apt know the packages of all, twice the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from rtbuild.engine.engine import Engine
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.integration.command_line import CommandLine, artifacts_of, as_chosen, finish, lend
from tests.integration.conftest import AMD64
from tests.integration.debian_project import write_debian_project
from tests.integration.small import VERSION
from tests.integration.told import Told

pytestmark = pytest.mark.integration

PACKAGES = {"base-os": ["apt", "passwd"], "python": ["python3.9"], "tools": ["jq"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The image, loaded, and what two builds from empty stores answered."""

    engine: Engine
    first: dict[str, Any]
    second: dict[str, Any]

    def run(self, script: str) -> str:
        """Return what a shell script in the image writes, errors included; it must succeed."""
        outcome = self.engine.run(self.first["images"][0], ["sh", "-euc", f"exec 2>&1\n{script}"], user="0")
        assert outcome.exit_code == 0, outcome.text
        return outcome.text


@pytest.fixture(scope="module")
def stack(
    engine: Engine, workspace: Workspace, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    project = Workspace(root=folder / "project")
    write_debian_project(project.root, workspace, PACKAGES)
    environment = {**as_chosen(settings), "RTBUILD_REPOSITORY": f"{settings.repository}-stack"}
    mine = Store.open(settings.store)  # downloads stay there
    CommandLine(workspace=project.root, store=mine.root, environment=environment).run("lock", VERSION).succeeded()
    lock = project.read_lock(VERSION, AMD64)
    fetch_artifacts(artifacts_of(lock), mine, settings, suites=project.release(VERSION).suites, progress=Told())
    builds = []
    for name, options in (("first", ["--load"]), ("second", [])):
        lend(artifacts_of(lock), mine, folder / name)
        command = CommandLine(workspace=project.root, store=folder / name, environment=environment)
        builds.append(command.start("build", VERSION, "--json", *options))
    first, second = (finish(build).succeeded().document for build in builds)
    yield Stack(engine=engine, first=first, second=second)
    engine.remove_image(first["images"][0])
    shutil.rmtree(folder)


def test_two_builds_from_nothing_give_the_same_bytes(stack: Stack) -> None:
    for answer in (stack.first, stack.second):
        assert [(layer["name"], layer["state"]) for layer in answer["layers"]] == [(name, "built") for name in PACKAGES]
    fields = ("image_id", "manifest_digest", "layers")
    assert {name: stack.first[name] for name in fields} == {name: stack.second[name] for name in fields}


def test_programs_of_each_layer_run(stack: Stack) -> None:
    said = stack.run("jq --version; python3.9 -c 'import json; print(json.dumps([39]))' | jq '.[0] + 3'")
    assert said.splitlines() == ["jq-1.6", "42"]


def test_dpkg_lists_the_packages_of_each_layer_as_installed(stack: Stack) -> None:
    listed = stack.run("dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n'").splitlines()
    assert {f"ii {name}" for names in PACKAGES.values() for name in names} | {"ii libjq1", "ii libc6"} <= set(listed)
    assert [line for line in listed if not line.startswith("ii ")] == []
    assert stack.run("dpkg -S /usr/bin/jq /usr/bin/python3.9").splitlines() == [
        "jq: /usr/bin/jq",
        "python3.9-minimal: /usr/bin/python3.9",
    ]


def test_dpkg_and_apt_find_nothing_to_repair(stack: Stack) -> None:
    assert stack.run("dpkg --audit; apt-get -qq check") == ""
