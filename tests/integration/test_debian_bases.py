"""Images on Debian 12 and Debian 13, from recipes that `rtbuild init` writes: no Airflow, twice the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from rtbuild.engine.containers import Mount
from rtbuild.engine.engine import Engine
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.mirror.find import find_mirrors
from rtbuild.recipe.model import Release
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.init import init
from rtbuild.workspace import Workspace
from tests.integration.command_line import CommandLine, artifacts_of, as_chosen, finish, lend
from tests.integration.conftest import AMD64
from tests.integration.told import Told

pytestmark = [pytest.mark.integration, pytest.mark.large]

SERIES = {"trixie": "3.13", "bookworm": "3.11"}
# What Debian 12 has otherwise than the Debian 13 that `init` writes.
BOOKWORM = {
    "trixie": "bookworm",
    "Debian 13": "Debian 12",
    "3.13": "3.11",
    "examples/debian.sources": "examples/sources.list",
    '  "passwd", ': '  "usr-is-merged",\n  "passwd", ',
}
HELLO = """
import docopt, flask, sys
app = flask.Flask("hello")
app.add_url_rule("/", view_func=lambda: "hello from Python %s.%s" % sys.version_info[:2])
print(app.test_client().get("/").text)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An image with Flask on a Debian, built twice from empty stores and loaded."""

    suite: str
    release: Release
    engine: Engine
    first: dict[str, Any]
    second: dict[str, Any]
    command: CommandLine

    def run(self, *command: str, **options: Any) -> str:
        """Return what a command in the image writes; it must succeed."""
        outcome = self.engine.run(self.first["images"][0], command, timeout=300, **options)
        assert outcome.exit_code == 0, outcome.stdout.decode() + outcome.stderr.decode()
        return outcome.text


@pytest.fixture(scope="module", params=list(SERIES))
def base(
    request: pytest.FixtureRequest,
    engine: Engine,
    workspace: Workspace,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Base]:
    suite = request.param
    folder = tmp_path_factory.mktemp(f"rtbuild-tests-{suite}")
    written = init(folder / suite, kind="python", platform=AMD64).workspace
    if suite == "bookworm":
        change(written.root, BOOKWORM)
    change(written.root, {'["flask"]': '["docopt", "flask"]'})  # docopt is an sdist, which that Python builds
    shutil.copytree(workspace.root / "recipes" / "engines", written.root / "recipes" / "engines", dirs_exist_ok=True)
    shutil.copytree(workspace.root / "runtime.lock" / "engines", written.root / "runtime.lock" / "engines")
    environment = as_chosen(settings)
    mine = Store.open(settings.store)  # downloads stay there
    CommandLine(workspace=written.root, store=mine.root, environment=environment).run("lock", "1.0").succeeded()
    release, lock = written.release("1.0"), written.read_lock("1.0.0", AMD64)
    fetch_artifacts(artifacts_of(lock), mine, settings, suites=release.suites, progress=Told())
    commands = []
    for name in ("first", "second"):
        lend(artifacts_of(lock), mine, folder / name)
        commands.append(CommandLine(workspace=written.root, store=folder / name, environment=environment))
    # Both at once: dpkg keeps one processor busy.
    builds = [commands[0].start("build", "1.0", "--json", "--load"), commands[1].start("build", "1.0", "--json")]
    first, second = (finish(build).succeeded().document for build in builds)
    yield Base(suite=suite, release=release, engine=engine, first=first, second=second, command=commands[0])
    engine.remove_image(first["images"][0])
    shutil.rmtree(folder)


def change(root: Path, changes: Mapping[str, str]) -> None:
    """Change texts in the recipes of a new workspace."""
    for path in (root / "recipes").rglob("*.toml"):
        text = path.read_text()
        for old, new in changes.items():
            text = text.replace(old, new)
        path.write_text(text)


def test_two_builds_from_nothing_give_the_same_bytes(base: Base) -> None:
    assert {layer["state"] for layer in (*base.first["layers"], *base.second["layers"])} == {"built"}
    fields = ("image_id", "manifest_digest", "layers")
    assert {name: base.first[name] for name in fields} == {name: base.second[name] for name in fields}


def test_the_image_passes_its_checks(base: Base) -> None:
    report = base.command.run("check", "1.0", "--json").succeeded().document
    checks = ["recipe", "account", "dpkg", "apt", "pip", "compiled"]
    assert [result["name"] for result in report["results"]] == checks


def test_the_folders_of_the_root_are_links(base: Base) -> None:
    links = ("/bin", "/lib", "/lib64", "/sbin")
    assert base.run("readlink", *links).split() == ["usr/bin", "usr/lib", "usr/lib64", "usr/sbin"]


def test_dpkg_misses_nothing_but_what_the_recipe_removes(base: Base) -> None:
    """Packages of Debian 12 have files below /bin and /lib: dpkg finds them through the links."""
    removals = [removal.pattern for layer in base.release.debian_layers for removal in layer.removals]
    told = base.run("sh", "-c", "dpkg --verify || true", user="root").splitlines()
    paths = [line.rpartition(" ")[2] for line in told]
    assert [path for path in paths if not any(fnmatchcase(path, pattern) for pattern in removals)] == []


def test_apt_lists_the_suites_of_the_recipe_and_installs_from_them(
    base: Base, settings: Settings, tmp_path: Path
) -> None:
    listed = base.run("cat", "/etc/apt/sources.list").splitlines()
    suites = [base.suite, f"{base.suite}-updates", f"{base.suite}-security"]
    assert [line.split(f" {base.suite}")[0].split("/")[-1] for line in listed] == [
        "debian",
        "debian",
        "debian-security",
    ]
    assert all(f" {suite} main" in line for suite, line in zip(suites, listed, strict=True))
    # The same lines, with the addresses that this machine knows.
    mirrors = find_mirrors(settings)
    addresses = [next(iter(mirrors.debian_for(name))).address for name in ("debian", "debian", "debian-security")]
    sources = tmp_path / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(
        "".join(
            f"deb [signed-by={keys}] {address} {suite} main\n" for address, suite in zip(addresses, suites, strict=True)
        )
    )
    script = "apt-get -qq update && apt-get -qq install --no-install-recommends -y hello && hello"
    said = base.run(
        *("sh", "-c", script),
        user="root",
        network="host",
        env={"DEBIAN_FRONTEND": "noninteractive"},
        mounts=[Mount(source=sources, target="/etc/apt/sources.list")],
    )
    assert said.splitlines()[-1] == "Hello, world!"


def test_its_python_runs_what_the_release_requires(base: Base) -> None:
    assert base.run("python3", "-c", HELLO) == f"hello from Python {SERIES[base.suite]}"
