"""How builds call docker, and what becomes of their failures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rtbuild.digest import Digest
from rtbuild.engine.build import BuildOutcome, Builds, layout_reference
from rtbuild.engine.build import build as build_below
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.processes import start_time
from rtbuild.errors import BuildError, EngineError
from rtbuild.platform import PLATFORMS
from rtbuild.store.store import Store

DIGEST = "sha256:" + "ab" * 32
INDEX = json.dumps({"schemaVersion": 2, "manifests": [{"digest": DIGEST, "size": 472}]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nRUN true\n")
    return tmp_path


def build(endpoint: Endpoint, context: Path, **options: Any) -> BuildOutcome:
    """Build with a temporary folder in `scratch` beside the context; nothing may stay there."""
    scratch = context.parent / "scratch"
    try:
        return build_below(endpoint, context, builds=options.pop("builds", Builds()), scratch=scratch, **options)
    finally:
        assert not scratch.exists() or list(scratch.iterdir()) == []


def docker(folder: Path, script: str) -> Endpoint:
    """Write a docker command that records how it was called and runs `script`."""
    command = folder / "docker"
    command.write_text(
        f'#!/bin/sh\nfor word; do echo "$word"; done > {folder}/words\nenv > {folder}/variables\n'
        f"cat $BUILDX_CONFIG/.buildNodeID >> {folder}/nodes; echo >> {folder}/nodes\n"
        f"while [ $# -gt 1 ]; do if [ $1 = --file ]; then cat $2 >> {folder}/dockerfiles; fi; shift; done\n{script}\n"
    )
    command.chmod(0o755)
    return Endpoint(docker=command, host="unix:///e.sock", config=folder / "config", builder="default")


def exporting(folder: Path) -> Endpoint:
    return docker(folder, f"echo '#1 DONE' >&2\nprintf '%s' '{INDEX}' > {folder}/layout/index.json")


def test_a_build_leaves_nothing_to_defaults(folder: Path) -> None:
    outcome = build(
        exporting(folder),
        folder / "context",
        log=folder / "logs/one.log",
        dockerfile=folder / "context/Dockerfile",
        contexts={"debs": folder / "debs", "parent": "oci-layout:///l:parent"},
        output=folder / "layout",
        target="final",
        platform=PLATFORMS["linux/arm64"],
        build_args={"EPOCH": "5"},
    )
    words = (folder / "words").read_text().splitlines()
    assert words[:6] == ["--config", str(folder / "config"), "--host", "unix:///e.sock", "buildx", "build"]
    assert words[-1] == str(folder / "context")
    for option in ("--provenance=false", "--sbom=false", "--no-cache"):
        assert option in words
    pairs = list(pairwise(words))
    for pair in (
        ("--network", "none"),
        ("--progress", "plain"),
        ("--builder", "default"),
        ("--platform", "linux/arm64"),
        ("--target", "final"),
        ("--build-arg", "EPOCH=5"),
        ("--build-context", f"debs={folder}/debs"),
        ("--build-context", "parent=oci-layout:///l:parent"),
    ):
        assert pair in pairs
    output = dict(pairs)["--output"].split(",")
    assert {"type=oci", "tar=false", f"dest={folder}/layout", "compression=uncompressed", "oci-mediatypes=true"} <= {
        *output
    }
    assert (outcome.manifest, outcome.manifest_size) == (DIGEST, 472)
    assert (folder / "logs/one.log").read_text() == "#1 DONE\n"


def test_plain_files_go_to_a_folder(folder: Path) -> None:
    outcome = build(docker(folder, "exit 0"), folder / "context", log=folder / "log", output_local=folder / "files")
    assert f"type=local,dest={folder}/files" in (folder / "words").read_text().splitlines()
    assert outcome.manifest is None


def test_variables_of_the_user_do_not_reach_docker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SOURCE_DATE_EPOCH", "DOCKER_HOST", "DOCKER_CONTEXT", "BUILDX_BUILDER", "DOCKER_DEFAULT_PLATFORM")
    for name in names:
        monkeypatch.setenv(name, "1")
    build(exporting(folder), folder / "context", log=folder / "log", output=folder / "layout")
    seen = {line.partition("=")[0] for line in (folder / "variables").read_text().splitlines()}
    assert "PATH" in seen
    assert not seen & set(names)


def test_each_build_is_a_new_node_so_that_it_never_gets_files_of_another(folder: Path) -> None:
    for _ in range(3):
        build(exporting(folder), folder / "context", log=folder / "log", output=folder / "layout")
    nodes = (folder / "nodes").read_text().split()
    assert len(set(nodes)) == 3


def test_each_build_has_steps_of_its_own(folder: Path) -> None:
    for _ in range(3):
        build(exporting(folder), folder / "context", log=folder / "log", output=folder / "layout")
    steps = re.findall(
        "^RUN --mount=type=secret,id=([0-9a-f]{16}) true$", (folder / "dockerfiles").read_text(), re.MULTILINE
    )
    assert len(set(steps)) == 3


def test_builders_of_the_user_stay_available(folder: Path) -> None:
    (folder / "config/buildx/instances").mkdir(parents=True)
    (folder / "config/buildx/instances/far").write_text("{}")
    endpoint = docker(folder, "ls $BUILDX_CONFIG/instances")
    build(endpoint, folder / "context", log=folder / "log", output_local=folder / "files")
    assert (folder / "log").read_text() == "far\n"


def test_a_failure_shows_the_reason_the_end_of_the_log_and_where_the_log_is(folder: Path) -> None:
    script = "for i in $(seq 500); do echo line $i >&2; done; echo 'ERROR: failed to solve: exit code: 9' >&2; exit 1"
    with pytest.raises(BuildError) as caught:
        build(docker(folder, script), folder / "context", log=folder / "log", title="base-os", output=folder / "layout")
    assert caught.value.brief == "base-os: failed to solve: exit code: 9"
    lines = (caught.value.details or "").splitlines()
    assert (len(lines), lines[0], lines[-2]) == (200, "line 302", "line 500")
    assert str(folder / "log") in (caught.value.hint or "")
    assert len((folder / "log").read_text().splitlines()) == 501


@pytest.mark.parametrize(
    ("script", "kind", "brief"),
    [
        ("echo 'write /x: no space left on device' >&2; exit 1", BuildError, "no space left on device"),
        (
            "echo 'ERROR: Cannot connect to the Docker daemon at unix:///e.sock.' >&2; exit 1",
            EngineError,
            "lost the connection to Docker",
        ),
        ("printf 'caf\\351\\n' >&2; exit 1", BuildError, "docker exited with code 1"),
        ("exit 0", BuildError, "the engine wrote no image"),
        ("exit 3", BuildError, "docker exited with code 3"),
    ],
)
def test_each_failure_has_its_own_message(folder: Path, script: str, kind: type[Exception], brief: str) -> None:
    with pytest.raises(kind, match=brief):
        build(docker(folder, script), folder / "context", log=folder / "log", output=folder / "layout")


@pytest.mark.parametrize(
    "index", ["", "{}", '{"manifests": []}', '{"manifests": [{"digest": "md5:1", "size": 1}]}', '{"manifests": [1, 2]}']
)
def test_a_malformed_index_is_an_error(folder: Path, index: str) -> None:
    endpoint = docker(folder, f"printf '%s' '{index}' > {folder}/layout/index.json")
    with pytest.raises(BuildError, match="the engine wrote no image"):
        build(endpoint, folder / "context", log=folder / "log", output=folder / "layout")


KILLED = """
import sys
from pathlib import Path
from rtbuild.engine.build import Builds, build
from rtbuild.engine.endpoint import Endpoint
folder = Path(sys.argv[1])
build(Endpoint(docker=folder / "docker"), folder / "context", builds=Builds(), scratch=folder / "store/tmp",
      log=folder / "log", output_local=folder / "files", on_line=lambda line: print(line, flush=True))
"""


def test_the_next_run_removes_what_a_killed_build_leaves(folder: Path) -> None:
    docker(folder, f"echo $$ > {folder}/pid; echo begun >&2; exec sleep 600")
    Store.open(folder / "store")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(elsewhere)}
    command = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        (left,) = (folder / "store/tmp").glob("buildx-*[!k]")
        store = Store.open(folder / "store")
        assert left.is_dir(), "a running build keeps its folder"
        process.kill()
    wait_until_gone(int((folder / "pid").read_text()))
    assert left.is_dir()
    assert list(elsewhere.iterdir()) == []
    Store.open(store.root)
    assert list((store.root / "tmp").iterdir()) == []


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while start_time(pid) is not None:
        assert time.monotonic() < deadline, "docker runs on after rtbuild was killed"
        time.sleep(0.01)


def test_a_missing_docker_command_is_an_engine_error(folder: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot run /no/docker"):
        build(Endpoint(docker=Path("/no/docker")), folder / "context", log=folder / "log", output=folder / "layout")


@pytest.mark.slow
def test_a_build_that_takes_too_long_ends_with_all_its_children(folder: Path) -> None:
    endpoint = docker(folder, f"echo begun >&2; sleep 600 & echo $! > {folder}/child; wait; wait")
    begun = time.monotonic()
    with pytest.raises(BuildError, match=r"slow: timed out after 1\.5 s") as caught:
        build(endpoint, folder / "context", log=folder / "log", title="slow", output=folder / "layout", timeout=1.5)
    assert time.monotonic() - begun < 60
    assert caught.value.details == "begun"
    assert start_time(int((folder / "child").read_text())) is None


def test_builds_can_be_interrupted_from_another_thread(folder: Path) -> None:
    endpoint = docker(folder, "echo begun >&2; exec sleep 600")
    builds, others = Builds(), Builds()
    counts: list[int] = []
    ready = threading.Event()

    def interrupt() -> None:
        ready.wait(60)
        counts.extend((others.interrupt(), builds.interrupt()))

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(BuildError, match="interrupted"):
        build(
            endpoint,
            folder / "context",
            builds=builds,
            log=folder / "log",
            output=folder / "layout",
            on_line=lambda line: ready.set(),
        )
    thread.join()
    assert counts == [0, 1]


def test_no_build_starts_after_an_interrupt(folder: Path) -> None:
    builds = Builds()
    assert builds.interrupt() == 0
    with pytest.raises(BuildError, match="base-os: interrupted"):
        build(
            exporting(folder),
            folder / "context",
            builds=builds,
            title="base-os",
            log=folder / "log",
            output=folder / "layout",
        )
    assert not (folder / "words").exists()
    assert build(exporting(folder), folder / "context", log=folder / "log", output=folder / "layout").manifest


def test_a_build_that_is_interrupted_before_docker_runs_never_runs_it(folder: Path) -> None:
    endpoint = exporting(folder)
    builds = Builds()
    (folder / "scratch").mkdir()

    class Late(Endpoint):
        """Interrupts while the command is assembled, when no pid is known yet."""

        def command(self) -> list[str]:
            builds.interrupt()
            return endpoint.command()

    late = Late(docker=endpoint.docker, config=endpoint.config, builder=endpoint.builder)
    with pytest.raises(BuildError, match="interrupted"):
        build(late, folder / "context", builds=builds, log=folder / "log", output=folder / "layout")
    assert not (folder / "words").exists()


def test_ctrl_c_ends_docker(folder: Path) -> None:
    endpoint = docker(folder, f"echo $$ > {folder}/pid; echo begun >&2; exec sleep 600")

    def press(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(endpoint, folder / "context", log=folder / "log", output=folder / "layout", on_line=press)
    pid = (folder / "pid").read_text().strip()
    stat = Path("/proc") / pid / "stat"
    assert not stat.exists() or " Z " in stat.read_text()


def test_an_output_path_that_buildx_would_misread_is_an_error(folder: Path) -> None:
    with pytest.raises(EngineError, match="comma"):
        build(exporting(folder), folder / "context", log=folder / "log", output=folder / "a,b")
    with pytest.raises(ValueError, match="either output or output_local"):
        build(exporting(folder), folder / "context", log=folder / "log")


def test_a_layout_reference_has_a_tag_and_links_the_blobs(tmp_path: Path) -> None:
    blobs = tmp_path / "store/blobs"
    (blobs / "sha256").mkdir(parents=True)
    for _ in range(2):
        reference = layout_reference(tmp_path / "parent", blobs=blobs, manifest=Digest(DIGEST), size=472)
    assert reference == f"oci-layout://{tmp_path}/parent:parent"
    index = json.loads((tmp_path / "parent/index.json").read_text())
    (descriptor,) = index["manifests"]
    assert (descriptor["digest"], descriptor["size"]) == (DIGEST, 472)
    assert descriptor["annotations"] == {"org.opencontainers.image.ref.name": "parent"}
    assert (tmp_path / "parent/blobs").resolve() == blobs
    assert (tmp_path / "parent/oci-layout").exists()
    for name, sign in (("a:b", "a colon"), ("job@2", "an at sign")):
        with pytest.raises(EngineError, match=f"must not contain {sign}"):
            layout_reference(tmp_path / name, blobs=blobs, manifest=Digest(DIGEST), size=472)
