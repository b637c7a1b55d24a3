"""What goes wrong around a build: each ends with one clear error, and the next build works and gives the same image."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.lockfile.model import DebArtifact
from rtbuild.lockfile.patched import as_patched, as_published
from rtbuild.lockfile.read import write_lock
from tests.fakes.debian_archive import FakeDeb, Fault, serve_folder
from tests.fakes.docker_command import FakeDocker
from tests.fakes.patches import diff, write_patch
from tests.integration.command_line import CommandLine, finish
from tests.integration.conftest import SmallRelease
from tests.integration.crashes import family, left_in, small_disk, survivors
from tests.integration.small import VERSION, lock_small_project

pytestmark = pytest.mark.integration

PATIENCE = 300
"""Seconds after which a build that should have got somewhere has not."""


def assert_builds(small: SmallRelease, command: CommandLine | None = None) -> dict[str, str]:
    """The next build works and gives what the lock records; the state of each layer."""
    answer = (command or small.command).run("build", VERSION, "--json").succeeded()
    assert answer.document["matches_lock"] is True
    assert answer.document["image_id"] == small.answer["image_id"]
    return {layer["name"]: layer["state"] for layer in answer.document["layers"]}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until `condition` holds while the process runs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def dpkg_runs(small: SmallRelease) -> Callable[[], bool]:
    """A condition: packages of the lowest layer are being installed."""
    logs = small.store.logs
    return lambda: any("Setting up libc6" in path.read_text(errors="replace") for path in logs.glob("*-base-os.log"))


# --- stopped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_during_a_fetch(small: SmallRelease, room: Path, number: signal.Signals) -> None:
    mine = small.unbuilt(room)
    files = room / "mirror"
    for deb in mine.lock.debs:
        (files / deb.path).parent.mkdir(parents=True, exist_ok=True)
        mine.store.artifact_path(deb.sha256).rename(files / deb.path)
    with serve_folder(files) as mirror:
        mirror.misbehave("*", Fault.SLOW)
        process = mine.command.with_environment(RTBUILD_DEBIAN_MIRRORS=mirror.url).start("build", VERSION)
        wait_for(lambda: len(mirror.requests) > 5, process)
        process.send_signal(number)
        answer = finish(process, timeout=60)  # the mirror would take hours
        assert answer.error(130) == "interrupted"
        mirror.behave()
        fetched = mine.command.with_environment(RTBUILD_DEBIAN_MIRRORS=mirror.url).run("fetch", VERSION, "--json")
    assert fetched.succeeded().document["fetched"] == len(mine.lock.debs)
    assert all(mine.store.verify_artifact(deb) for deb in mine.lock.debs)


def test_ctrl_c_during_a_build(small: SmallRelease, room: Path) -> None:
    mine = small.unbuilt(room)
    # As a terminal does it: every process of the group gets the signal.
    process = replace(mine.command, before=["setsid"]).start("build", VERSION)
    wait_for(dpkg_runs(mine), process)
    members = family(process)
    assert len(members) >= 3, "rtbuild, docker, buildx"
    os.killpg(process.pid, signal.SIGINT)
    answer = finish(process, timeout=60)
    assert answer.error(130) == "interrupted"
    lines = answer.stderr.splitlines()
    begun = {line.removesuffix(" ...") for line in lines if line.startswith("layer ") and line.endswith(" ...")}
    assert begun >= {"layer base-os"}
    assert {f"{task}: cancelled" for task in begun if f"{task}: built" not in lines} <= set(lines)
    assert survivors(members) == []
    assert left_in(mine) == []
    assert assert_builds(mine)["base-os"] == "built"


def test_cancelled_by_a_ci_service(small: SmallRelease, room: Path) -> None:
    """SIGTERM to rtbuild alone, with JSON asked for."""
    mine = small.unbuilt(room)
    process = mine.command.start("build", VERSION, "--json")
    wait_for(dpkg_runs(mine), process)
    members = family(process)
    process.terminate()
    answer = finish(process, timeout=60)
    assert answer.code == 130
    assert answer.document == {"error": "interrupted", "cause": None, "hint": None, "exit_code": 130}
    assert survivors(members) == []
    assert left_in(mine) == []


def test_killed_during_a_build(small: SmallRelease, room: Path) -> None:
    mine = small.unbuilt(room)
    elsewhere = room / "elsewhere"
    elsewhere.mkdir()
    process = mine.command.with_environment(TMPDIR=str(elsewhere)).start("build", VERSION)
    wait_for(dpkg_runs(mine), process)
    members = family(process)
    process.kill()
    process.communicate()
    # Nobody reads their output any more, so they end by themselves.
    assert survivors(members) == []
    assert list(elsewhere.iterdir()) == []
    assert left_in(mine) != []
    assert assert_builds(mine)["base-os"] == "built"
    assert left_in(mine) == []


# --- at once ----------------------------------------------------------------------------------------------------------


def test_two_builds_of_one_store_at_once(small: SmallRelease, room: Path) -> None:
    mine = small.unbuilt(room)
    running = [mine.command.start("build", VERSION, "--json") for _ in range(2)]
    answers = [finish(process).succeeded() for process in running]
    first, second = sorted(answers, key=lambda answer: "waiting for " in answer.stderr)
    assert "waiting for " not in first.stderr
    # The other process may not have written its number yet.
    waits = rf"^waiting for (process \d+|another task) \(build {VERSION} linux/amd64\)$"
    assert re.search(waits, second.stderr, re.MULTILINE)
    for answer in answers:
        assert answer.document["image_id"] == small.answer["image_id"]
        assert answer.document["matches_lock"] is True
    assert {layer["state"] for layer in first.document["layers"]} == {"built"}
    assert {layer["state"] for layer in second.document["layers"]} == {"cached"}


# --- damaged ----------------------------------------------------------------------------------------------------------


def spoil(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Put other bytes at `path`, into a file of its own."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def one_bit(content: bytes) -> bytes:
    """The content with one bit of its middle turned over."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def half(content: bytes) -> bytes:
    """The first half of the content."""
    return content[: len(content) // 2]


def blob_of(small: SmallRelease, layer: str) -> Path:
    (key,) = (one.key for one in small.lock.layers if one.name == layer)
    realisation = small.store.realisation(key)
    assert realisation is not None
    return small.store.layout.blob_path(realisation.blob)


def forget_airflow(small: SmallRelease) -> None:
    """Let the Airflow layer be missing, which is built quickly, but keep its trees."""
    blob_of(small, "airflow").unlink()


@pytest.mark.parametrize("change", [one_bit, half])
def test_a_damaged_artifact_is_fetched_again(small: SmallRelease, room: Path, change: Callable[[bytes], bytes]) -> None:
    mine = small.copy(room)
    forget_airflow(mine)
    shutil.rmtree(mine.store.trees)
    (wheel,) = (one for one in mine.lock.pythons if one.name == "greeting")
    spoil(mine.store.artifact_path(wheel.sha256), change)
    answer = mine.command.run("build", VERSION, "--json").succeeded()
    assert f"{wheel.filename} in the store is corrupt and will be fetched again" in answer.stderr
    assert answer.document["image_id"] == small.answer["image_id"]
    assert mine.store.verify_artifact(wheel)


@pytest.mark.parametrize("change", [one_bit, half])
def test_a_damaged_artifact_that_no_mirror_has(
    small: SmallRelease, room: Path, change: Callable[[bytes], bytes]
) -> None:
    mine = small.copy(room)
    forget_airflow(mine)
    (wheel,) = (one for one in mine.lock.pythons if one.name == "greeting")
    spoil(mine.store.artifact_path(wheel.sha256), change)
    (mine.workspace.root / "files" / wheel.filename).unlink()
    with serve_folder(room / "empty") as index:
        command = mine.command.with_environment(RTBUILD_PYTHON_INDEXES=index.url, PIP_INDEX_URL=index.url)
        answer = command.run("build", VERSION)
    assert answer.error() == f"{wheel.filename}: no mirror serves the file that the lock names"


@pytest.mark.parametrize("change", [one_bit, half])
@pytest.mark.parametrize("layer", ["python", "airflow"])
def test_a_damaged_layer_is_built_again(
    small: SmallRelease, room: Path, layer: str, change: Callable[[bytes], bytes]
) -> None:
    mine = small.copy(room)
    spoil(blob_of(mine, layer), change)
    states = assert_builds(mine)
    assert states == {**dict.fromkeys(states, "cached"), layer: "built"}
    assert set(assert_builds(mine).values()) == {"cached"}


def test_a_damaged_layer_is_told(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    spoil(blob_of(mine, "airflow"), one_bit)
    answer = mine.command.run("build", VERSION).succeeded()
    assert "layer airflow in the store is damaged and will be rebuilt" in answer.stderr


@pytest.mark.parametrize("change", [one_bit, half])
@pytest.mark.parametrize("suffix", [".tar.zst", ".json"])
def test_a_damaged_tree_is_made_again(
    small: SmallRelease, room: Path, suffix: str, change: Callable[[bytes], bytes]
) -> None:
    mine = small.copy(room)
    forget_airflow(mine)
    (one, _) = sorted(mine.store.trees.glob(f"*{suffix}"))
    spoil(one, change)
    answer = mine.command.run("build", VERSION, "--json").succeeded()
    told = re.findall("^the tree of (.*) in the store was damaged and has been rebuilt$", answer.stderr, re.MULTILINE)
    assert len(told) == 1
    assert answer.document["image_id"] == small.answer["image_id"]


def test_a_damaged_record_of_a_layer(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    (key,) = (one.key for one in mine.lock.layers if one.name == "airflow")
    (record,) = (mine.folder / "store" / "realisations").rglob(f"{key}/*.json")
    spoil(record, half)
    assert assert_builds(mine)["airflow"] == "built"


# --- no room ----------------------------------------------------------------------------------------------------------


def test_a_full_disk(small: SmallRelease, room: Path) -> None:
    """Full while fetching, while unpacking, and on the lower and the upper layer; with more room the build goes on."""
    mine = small.unbuilt(room)
    files = mine.workspace.root / "files"
    for deb in mine.lock.debs:
        os.link(mine.store.artifact_path(deb.sha256), files / deb.filename)
    with small_disk(room / "disk", 20) as resize:
        command = replace(mine.command, store=room / "disk" / "store")
        for megabytes in (20, 90, 130, 190):
            resize(megabytes)
            answer = command.run("build", VERSION)
            assert "no space left on device" in answer.error().lower()
            assert re.search("^hint: free some space", answer.stderr, re.MULTILINE)
            assert left_in(replace(mine, folder=room / "disk")) == []
        resize(1000)
        assert assert_builds(mine, command)["python"] == "built"


# --- wrong input ------------------------------------------------------------------------------------------------------


def edit(path: Path, pattern: str, text: str) -> None:
    """Replace what `pattern` matches first, as an editor does."""
    changed, count = re.subn(pattern, text, path.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
    assert count == 1
    path.write_text(changed)


LOCK = f"runtime.lock/{VERSION}/linux-amd64.toml"


@pytest.mark.parametrize(
    ("file", "pattern", "text", "error", "hint"),
    [
        (LOCK, r"^version = 2$", "version = 3", f"{LOCK}: version: unknown version 3", "use a newer one"),
        (LOCK, r"^version = 2$", "", f"{LOCK}: version: is missing", "hint: restore the lockfile from version control"),
        (LOCK, r"^\[inputs\].*?\n\n", "", f"{LOCK}: inputs", "rtbuild lock"),
        (LOCK, r"^built = \d+$", "build = 5", f"{LOCK}: deb[0].buil", "rtbuild lock"),
        (LOCK, r'^sha256 = "[0-9a-f]', 'sha256 = "x', f"{LOCK}: suite[0].sha256", "rtbuild lock"),
        (LOCK, r'^name = "libc6"$', 'name = "libc7"', "needs libc6, which is not locked", "rtbuild lock"),
        (LOCK, r"\A", "[[[", f"{LOCK}: is not valid TOML", "rtbuild lock"),
        (LOCK, r"^source_date_epoch = \d+", "source_date_epoch = 5", f"{LOCK}: ", "rtbuild lock"),
        ("recipes/layers/base-os.toml", r"^packages", "pakages", "recipes/layers/base-os.toml: pakages", "packages"),
        ("recipes/layers/airflow.toml", r'^kind = "python"', "kind = 5", "recipes/layers/airflow.toml: kind", ""),
        ("recipes/layers/airflow.toml", r"\Z", 'x = "', "recipes/layers/airflow.toml: ", ""),
        (
            f"recipes/releases/{VERSION}.toml",
            r'"python", "airflow"',
            '"pyton", "airflow"',
            "no such file: recipes/layers/pyton.toml",
            "python",
        ),
        (f"recipes/releases/{VERSION}.toml", r'"linux/amd64"', '"linux/arm64"', "linux/amd64", "linux/arm64"),
        ("recipes/layers/airflow.toml", r'"greeting"', '"greeting==1.0"', f"{LOCK}: stale", "rtbuild lock"),
    ],
)
def test_files_edited_by_hand(
    small: SmallRelease, tmp_path: Path, file: str, pattern: str, text: str, error: str, hint: str
) -> None:
    mine = replace(small, folder=tmp_path)
    shutil.copytree(small.workspace.root, mine.workspace.root)
    edit(mine.workspace.root / file, pattern, text)
    arguments = ("build", VERSION, "--platform", "linux/amd64")
    answer = mine.command.run(*arguments)
    assert error in answer.error()
    assert answer.stdout == ""
    assert hint in answer.stderr
    told = mine.command.run(*arguments, "--json")
    assert told.code == 1
    assert told.document["error"] == answer.error()


@pytest.mark.parametrize(
    ("field", "pattern", "text"),
    [
        ("name", '^(name = )"hostname"$', "hostnames"),
        ("version", '^(name = "hostname"\nversion = )"[^"]*"$', "0.1-2"),
        ("architecture", '^(name = "hostname"\nversion = "[^"]*"\narchitecture = )"amd64"$', "arm64"),
    ],
)
def test_a_package_that_is_another_than_the_lock_says(
    small: SmallRelease, room: Path, field: str, pattern: str, text: str
) -> None:
    mine = small.unbuilt(room)
    (number,) = (number for number, deb in enumerate(mine.lock.debs) if deb.name == "hostname")
    deb = mine.lock.debs[number]
    edit(mine.workspace.root / LOCK, pattern, rf'\g<1>"{text}"')
    answer = mine.command.run("build", VERSION)
    expected = f"{LOCK}: deb[{number}].{field}: is {text!r}, but {deb.filename} says {getattr(deb, field)!r}"
    assert answer.error() == expected
    assert f"rtbuild lock {VERSION} --platform linux/amd64 --refresh" in answer.stderr


def test_a_digit_of_a_hash_in_the_lock(small: SmallRelease, room: Path) -> None:
    """It names a file that nobody has: what the mirror gives instead is refused."""
    mine = small.copy(room)
    (wheel,) = (one for one in mine.lock.pythons if one.name == "greeting")
    other = wheel.sha256[:-1] + ("0" if wheel.sha256[-1] != "0" else "1")
    edit(mine.workspace.root / LOCK, wheel.sha256, other)
    answer = mine.command.with_environment(PIP_INDEX_URL="http://127.0.0.1:9/simple").run("build", VERSION)
    assert answer.error() == f"{wheel.filename}: no mirror serves the file that the lock names"
    assert f"sent wrong bytes (sha256 {wheel.sha256} instead of {other})" in answer.stderr
    assert not mine.store.artifact_path(sha256_bytes(b"")).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("build", "9.9"), 1, "unknown release '9.9'"),
        (("verify", "9.9"), 1, "unknown release '9.9'"),
        (("build", VERSION, "--platform", "linux/arm64"), 1, "linux/arm64"),
        (("build", VERSION, "--platform", "linux/mips"), 2, "unknown platform 'linux/mips'"),
        (("build", VERSION, "--jobs", "0"), 2, "--jobs"),
        (("build",), 2, "RELEASE"),
    ],
)
def test_what_there_is_not(small: SmallRelease, arguments: tuple[str, ...], code: int, error: str) -> None:
    assert error in small.command.run(*arguments).error(code)
    answer = small.command.run(*arguments, "--json")
    assert (answer.code, answer.document["exit_code"]) == (code, code)
    assert error in answer.document["error"]


# --- no engine --------------------------------------------------------------------------------------------------------


@pytest.fixture
def programs() -> Iterator[Path]:
    """A folder for programs that anybody may run; it has what rtbuild's own calls need."""
    folder = Path(tempfile.mkdtemp(prefix="rtbuild-programs-"))
    folder.chmod(0o777)
    for name in ("cat", "env", "sh"):
        (folder / name).symlink_to(Path("/bin") / name)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def alone(small: SmallRelease, room: Path, programs: Path) -> CommandLine:
    """A build that needs an engine, on a machine where there is none: no Docker on the PATH, none named."""
    mine = small.copy(room / "mine")
    forget_airflow(mine)
    engine = dict.fromkeys(("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "BUILDX_BUILDER", "RTBUILD_BUILDER"))
    return mine.command.with_environment(
        **engine,
        RTBUILD_DOCKER_HOST=None,
        RTBUILD_DOCKER_CONTEXT=None,
        RTBUILD_ENGINE_DIR=str(room / "engines"),
        HOME=str(room),
        PATH=str(programs),
    )


def as_nobody(command: CommandLine) -> CommandLine:
    """The same by a user without rights, but to read: the checkout may lie where only root may look."""
    for path in (command.store, *command.store.rglob("*")):
        os.chown(path, 65534, 65534)
    capability = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    program = shutil.which("setpriv")
    assert program is not None
    return replace(command, before=[program, "--reuid=65534", "--regid=65534", "--clear-groups", *capability])


def test_no_docker_and_not_root(alone: CommandLine) -> None:
    answer = as_nobody(alone).run("build", VERSION)
    assert answer.error() == "no usable engine found"
    assert "cause: no `docker` command on the PATH\n" in answer.stderr
    assert "hint: install Docker (BuildKit 0.13 or newer, and buildx), or run the command as root" in answer.stderr
    answer = as_nobody(alone).run("engine", "start")
    assert answer.error() == "a private engine needs root to mount file systems and to start containers"
    assert "hint: run the command with sudo" in answer.stderr


def docker_first(folder: Path, docker: FakeDocker) -> str:
    """A PATH on which that Docker comes first."""
    installed = docker.install()
    (docker.folder / "answers").chmod(0o777)
    return f"{installed}:{folder}"


def test_a_docker_that_is_too_old(alone: CommandLine, programs: Path) -> None:
    path = docker_first(programs, FakeDocker(folder=programs, server="20.10.24", buildkit="v0.8.2"))
    answer = as_nobody(alone.with_environment(PATH=path)).run("build", VERSION)
    assert answer.error() == "no usable engine found"
    assert "cause: the machine's Docker: Docker 20.10.24 is too old; 26.0 or newer is required\n" in answer.stderr
    assert "hint: upgrade Docker, or run the command as root" in answer.stderr


def test_an_engine_that_does_not_answer(alone: CommandLine, programs: Path) -> None:
    host = f"unix://{programs}/docker.sock"
    path = docker_first(programs, FakeDocker(folder=programs, server="", host=host))
    answer = alone.with_environment(DOCKER_HOST=host, PATH=path).run("build", VERSION, "--json")
    assert answer.code == 1
    assert answer.document["error"] == f"Docker at {host} does not answer"
    assert answer.document["hint"] == f"start the daemon at {host}, or change DOCKER_HOST or the setting `docker_host`"


# --- a package that fails ---------------------------------------------------------------------------------------------


def add_package(small: SmallRelease, package: FakeDeb) -> None:
    """Put a package into the Python layer: its file in the project's folder, its entry in the lock."""
    content = package.build()
    (small.workspace.root / "files" / package.filename).write_bytes(content)
    deb = DebArtifact(
        filename=package.filename,
        path=package.path,
        size=len(content),
        sha256=sha256_bytes(content),
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        archive="debian",
        suite="bullseye",
        built=package.built,
        layer="python",
    )
    recipe = small.workspace.root / "recipes" / "layers" / "python.toml"
    edit(recipe, r"packages = \[(.*?)\]", rf'packages = [\1, "{package.name}"]')
    lock_small_project(small.workspace, replace(small.lock, debs=(*small.lock.debs, deb)))


def test_a_package_whose_script_fails(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    script = "#!/bin/sh\necho 'the flux is not aligned' >&2\nexit 7\n"
    add_package(mine, FakeDeb(name="fluxd", scripts={"postinst": script}))
    answer = mine.command.run("build", VERSION)
    assert answer.error().startswith("layer python: ")
    assert re.search(r"^       #\d+ [\d.]+ the flux is not aligned$", answer.stderr, re.MULTILINE)
    assert "installed fluxd package post-installation script subprocess returned error exit status 7" in answer.stderr
    (where,) = re.findall(r"^hint: see the full log in (.+)$", answer.stderr, re.MULTILINE)
    assert "the flux is not aligned" in Path(where).read_text()
    assert left_in(mine) == []

    told = mine.command.run("build", VERSION, "--json")
    assert told.code == 1
    assert "the flux is not aligned" in told.document["cause"]

    # Mended, it is built on the layer that was fine.
    edit(mine.workspace.root / "recipes" / "layers" / "python.toml", r', "fluxd"\]', "]")
    add_package(mine, FakeDeb(name="fluxd", scripts={"postinst": "#!/bin/sh\nexit 0\n"}))
    document = mine.command.run("build", VERSION, "--json").succeeded().document
    assert {layer["name"]: layer["state"] for layer in document["layers"]} == {
        "base-os": "cached",
        "python": "built",
        "airflow": "cached",
    }
    assert document["matches_lock"] is None


# --- a patch that does not fit ----------------------------------------------------------------------------------------


def write_greeting_patch(small: SmallRelease, before: str, after: str) -> None:
    """Patch the one module of the package `greeting`, and lock that."""
    release = small.workspace.root / "recipes" / "releases" / f"{VERSION}.toml"
    if "patches" not in release.read_text():
        edit(release, r"^layers", 'patches = ["mend"]\nlayers')
    record = 'title = "Mend it"\nkind = "product"\npackage = "greeting"\nversion = "1.0"\n'
    write_patch(small.workspace.root, "mend", record, diff("greeting.py", before, after))
    pythons = as_patched(as_published(small.lock.pythons), small.workspace.release(VERSION))
    lock_small_project(small.workspace, replace(small.lock, pythons=pythons))


def test_a_patch_that_does_not_fit(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    write_greeting_patch(mine, "version = '0.9'\n", "version = '1.1'\n")
    answer = mine.command.run("build", VERSION)
    assert answer.error() == "patch mend does not apply to greeting 1.0: greeting.py line 1"
    assert "cause: line 1: expected \"version = '0.9'\\n\", found \"version = '1.0'\\n\"\n" in answer.stderr
    assert "       expected by line 3 of recipes/patches/mend.patch\n" in answer.stderr
    assert left_in(mine) == []

    write_greeting_patch(mine, "version = '0.9'\n", "version = '1.0'\n")
    answer = mine.command.run("build", VERSION)
    assert answer.error() == "patch mend: upstream already contains it in greeting 1.0"
    assert "hint: remove it from the release's patches\n" in answer.stderr

    # Mended, it is built on what was fine; without a patch it is what it was.
    write_greeting_patch(mine, "version = '1.0'\n", "version = '1.1'\n")
    document = mine.command.run("build", VERSION, "--json").succeeded().document
    states = {layer["name"]: layer["state"] for layer in document["layers"]}
    assert states == {"base-os": "cached", "python": "cached", "airflow": "built"}
    edit(mine.workspace.root / "recipes" / "releases" / f"{VERSION}.toml", r'^patches = \["mend"\]\n', "")
    write_lock(mine.workspace.lock_path(VERSION, mine.lock.platform), mine.lock)
    assert set(assert_builds(mine).values()) == {"cached"}


def test_json_is_one_object_however_it_ends(small: SmallRelease, room: Path) -> None:
    """Nothing of progress or logs reaches stdout."""
    mine = small.copy(room)
    add_package(mine, FakeDeb(name="fluxd", scripts={"preinst": "#!/bin/sh\nexit 1\n"}))
    answer = mine.command.run("build", VERSION, "--json", "-q")
    assert answer.stderr == ""
    assert set(json.loads(answer.stdout)) == {"error", "cause", "hint", "exit_code"}
