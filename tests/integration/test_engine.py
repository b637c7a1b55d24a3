"""Private engines from the locked packages of the machine's mirrors: real daemons, real builds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zstandard

from rtbuild.digest import Digest, digest_of, sha256_bytes
from rtbuild.engine import private, processes, select, usage
from rtbuild.engine.build import BuildOutcome, layout_reference
from rtbuild.engine.containers import Mount
from rtbuild.engine.engine import Engine
from rtbuild.engine.private import EngineStatus
from rtbuild.errors import BuildError, EngineError
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.platform import PLATFORMS, host_platform
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.users import require_root

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
UUID = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
TOOLS = ("/bin/sh", "/bin/sleep", "/bin/cat", "/bin/id", "/bin/ls", "/bin/mkdir")


@dataclass
class Lab:
    """The engines of this workspace, in a folder for the tests."""

    settings: Settings
    workspace: Workspace
    store: Store

    def start(self, name: str = "default") -> EngineStatus:
        lock = self.workspace.read_engine_lock(name, host_platform())
        fetch_artifacts(lock.debs, self.store, self.settings)
        return private.start(lock, self.store.artifact_path, self.settings.engine_dir, name=name)

    def engine(self, name: str = "default") -> Engine:
        return select.private_engine(self.start(name), store=self.store.root)

    def status(self, name: str = "default") -> EngineStatus:
        return private.status(self.settings.engine_dir, name)

    def stop(self, name: str = "default") -> EngineStatus:
        return private.stop(self.settings.engine_dir, name)

    def leftovers(self) -> list[str]:
        """Return the processes and mounts of all engines."""
        folder = self.settings.engine_dir
        pids = (*processes.processes_below(folder), *processes.processes_rooted_in(folder))
        commands = [(Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ") for pid in pids]
        return [*commands, *map(str, processes.mounts_below(folder))]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_root()
    folder = tmp_path_factory.mktemp("e")
    settings = replace(
        load_settings(os.environ, ROOT),
        store=folder / "store",
        engine_dir=folder / "engine",
        docker_host=None,
        docker_context=None,
        builder=None,
    )
    lab = Lab(settings=settings, workspace=Workspace(root=ROOT), store=Store.open(settings.store))
    yield lab
    for name in lab.workspace.engines():
        lab.stop(name)
    assert lab.leftovers() == []


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context with a shell and the libraries of this machine that it needs."""
    context = tmp_path_factory.mktemp("tools")
    for tool in TOOLS:
        listed = subprocess.run(["ldd", tool], capture_output=True, text=True, check=True).stdout
        for file in (tool, *(word for word in listed.split() if word.startswith("/"))):
            target = context / "root" / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY root /\n")
    return context


@dataclass
class Base:
    """An image with a shell in a layout, and the reference to build on it."""

    outcome: BuildOutcome
    layout: Path
    reference: str

    @property
    def manifest(self) -> Digest:
        assert self.outcome.manifest is not None
        return self.outcome.manifest


def make_base(engine: Engine, tools: Path, folder: Path) -> Base:
    outcome = engine.build(tools, log=folder / "base.log", output=folder / "base", platform=host_platform())
    assert outcome.manifest is not None
    reference = layout_reference(
        folder / "parent", blobs=folder / "base/blobs", manifest=outcome.manifest, size=outcome.manifest_size
    )
    return Base(outcome=outcome, layout=folder / "base", reference=reference)


@pytest.fixture
def base(lab: Lab, tools: Path, tmp_path: Path) -> Base:
    return make_base(lab.engine(), tools, tmp_path)


def write_context(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM parent\n" + "".join(f"{line}\n" for line in lines))
    return folder


def layers_of(layout: Path, manifest: Digest) -> list[dict[str, object]]:
    layers = json.loads((layout / "blobs" / manifest.replace(":", "/")).read_bytes())["layers"]
    assert isinstance(layers, list)
    return layers


def test_an_engine_starts_once_and_answers(lab: Lab) -> None:
    first = lab.start()
    assert first.running
    assert lab.start() == first == lab.status()
    engine = select.private_engine(first, store=lab.store.root)
    assert engine.private
    assert engine.driver == "docker"
    assert host_platform().name in engine.platforms
    for part in (first.host.removeprefix("unix://"), str(first.config), str(first.docker), str(first.log)):
        assert Path(part).exists()


def test_the_private_engine_is_found_if_the_machine_has_no_docker(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("env", "sh", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    lab.stop()
    with pytest.raises(EngineError, match="no usable engine found"):
        select.find(lab.settings)
    assert select.find(lab.settings, start=lab.start).private
    assert select.find(lab.settings).endpoint.host == lab.status().host


def test_a_layer_on_a_parent_is_exported_uncompressed(lab: Lab, base: Base, tmp_path: Path) -> None:
    engine = lab.engine()
    context = write_context(tmp_path / "context", "RUN --mount=type=bind,from=inputs,target=/i cat /i/f > /copy")
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "f").write_text("content\n")
    lines: list[str] = []
    outcome = engine.build(
        context,
        log=tmp_path / "log",
        contexts={"parent": base.reference, "inputs": inputs},
        output=tmp_path / "out",
        on_line=lines.append,
    )
    assert outcome.manifest is not None
    layers = layers_of(tmp_path / "out", outcome.manifest)
    assert [layer["mediaType"] for layer in layers] == ["application/vnd.oci.image.layer.v1.tar"] * 2
    assert layers[0] == layers_of(base.layout, base.manifest)[0]
    assert any("--mount=type=bind,from=inputs" in line for line in lines)
    assert (tmp_path / "log").read_text().splitlines() == lines


def test_a_layer_on_a_compressed_parent_is_exported_uncompressed(lab: Lab, base: Base, tmp_path: Path) -> None:
    """The store keeps layers in zstd: a parent must not make its child zstd, whose bytes differ between engines."""
    (plain,) = layers_of(base.layout, base.manifest)
    document = json.loads((base.layout / "blobs" / base.manifest.replace(":", "/")).read_bytes())
    blobs = base.layout / "blobs/sha256"
    packed = zstandard.ZstdCompressor().compress((blobs / str(plain["digest"]).removeprefix("sha256:")).read_bytes())
    media_type = "application/vnd.oci.image.layer.v1.tar+zstd"
    document["layers"] = [{"mediaType": media_type, "digest": digest_of(sha256_bytes(packed)), "size": len(packed)}]
    manifest = json.dumps(document).encode()
    for blob in (packed, manifest):
        (blobs / sha256_bytes(blob)).write_bytes(blob)
    reference = layout_reference(
        tmp_path / "packed", blobs=base.layout / "blobs", manifest=digest_of(sha256_bytes(manifest)), size=len(manifest)
    )
    context = write_context(tmp_path / "context", "RUN echo new > /new")
    outcome = lab.engine().build(context, log=tmp_path / "log", contexts={"parent": reference}, output=tmp_path / "out")
    assert outcome.manifest is not None
    assert layers_of(tmp_path / "out", outcome.manifest)[1]["mediaType"] == "application/vnd.oci.image.layer.v1.tar"


def test_builds_have_no_network_and_no_time_of_the_user(
    lab: Lab, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    context = write_context(
        tmp_path / "context",
        "ARG SOURCE_DATE_EPOCH=unset",
        "RUN mkdir /o && ls /sys/class/net > /o/devices && echo $SOURCE_DATE_EPOCH > /o/epoch",
        "FROM scratch",
        "COPY --from=0 /o /",
    )
    lab.engine().build(
        context, log=tmp_path / "log", contexts={"parent": base.reference}, output_local=tmp_path / "files"
    )
    assert (tmp_path / "files/devices").read_text() == "lo\n"
    assert (tmp_path / "files/epoch").read_text() == "unset\n"


def test_a_file_of_equal_size_and_time_from_another_folder_is_never_used(lab: Lab, tmp_path: Path) -> None:
    """BuildKit compares files with those it has under a context's name only by size and time."""
    engine = lab.engine()
    for content in ("AAAA", "BBBB", "AAAA"):
        folder = tmp_path / f"{content}-{time.monotonic_ns()}"
        inputs = folder / "inputs"
        inputs.mkdir(parents=True)
        (folder / "Dockerfile").write_text(f"# {content}\nFROM scratch\nCOPY --from=inputs f /\nCOPY main /\n")
        for file in (inputs / "f", folder / "main"):
            file.write_text(content)
        for file in (inputs / "f", folder / "main", folder / "Dockerfile", inputs, folder):
            os.utime(file, (1000, 1000))
        engine.build(folder, log=tmp_path / "log", contexts={"inputs": inputs}, output_local=tmp_path / "out")
        assert (tmp_path / "out/f").read_text() == content
        assert (tmp_path / "out/main").read_text() == content


def test_builds_of_the_same_at_once_run_each_step_and_give_the_same_layers(
    lab: Lab, tools: Path, tmp_path: Path
) -> None:
    """BuildKit would run one of them, and give its result to both; ending that one would end the other."""
    engine = lab.engine()
    context = tmp_path / "context"
    shutil.copytree(tools, context)
    (context / "Dockerfile").write_text(
        "FROM scratch AS first\nCOPY root /\nRUN cat /proc/sys/kernel/random/uuid; sleep 5; echo x > /file\n"
        "FROM first\nCOPY --from=first /file /copy/\n"
    )
    builds = [engine, replace(engine), replace(engine)]
    lines: list[list[str]] = [[] for _ in builds]
    outcomes: dict[int, BuildOutcome] = {}
    begun = threading.Barrier(4, timeout=60)

    def run(number: int) -> None:
        def listen(line: str) -> None:
            lines[number].append(line)
            if re.search(UUID, line):
                begun.wait()

        with contextlib.suppress(BuildError):
            outcomes[number] = builds[number].build(
                context, log=tmp_path / f"{number}.log", output=tmp_path / f"out{number}", on_line=listen
            )

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(builds))]
    for thread in threads:
        thread.start()
    begun.wait()
    assert builds[2].interrupt() == 1
    for thread in threads:
        thread.join()
    assert set(outcomes) == {0, 1}
    assert len({uuid for written in lines for uuid in re.findall(UUID, "\n".join(written))}) == 3
    layers = [layers_of(tmp_path / f"out{number}", outcomes[number].manifest or Digest("")) for number in (0, 1)]
    assert len(layers[0]) == 3
    assert layers[0] == layers[1]


def test_a_failed_build_shows_why(lab: Lab, base: Base, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "RUN echo about to fail; exit 9")
    with pytest.raises(BuildError, match=r"layer x: .*exit code: 9") as caught:
        lab.engine().build(
            context, log=tmp_path / "log", title="layer x", contexts={"parent": base.reference}, output=tmp_path / "out"
        )
    assert "about to fail" in (caught.value.details or "")
    assert "about to fail" in (tmp_path / "log").read_text()


def test_a_build_that_hangs_is_ended_with_its_command(lab: Lab, base: Base, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "RUN sleep 4242")
    with pytest.raises(BuildError, match="timed out after 3 s"):
        lab.engine().build(
            context, log=tmp_path / "log", contexts={"parent": base.reference}, output=tmp_path / "out", timeout=3
        )
    wait_until_gone("sleep 4242")


def test_ctrl_c_ends_the_build_and_the_next_one_works(lab: Lab, base: Base, tmp_path: Path) -> None:
    """Ctrl-C in another process, as on the command line."""
    context = write_context(tmp_path / "context", "RUN echo begun; sleep 4343")
    status = lab.status()
    script = (
        "import sys; from pathlib import Path; from rtbuild.engine import private, select\n"
        "status = private.status(Path(sys.argv[1]))\n"
        "engine = select.private_engine(status, store=Path(sys.argv[6]))\n"
        "engine.build(Path(sys.argv[2]), log=Path(sys.argv[3]), contexts={'parent': sys.argv[4]},\n"
        "    output=Path(sys.argv[5]), on_line=lambda line: print(line, flush=True))\n"
    )
    arguments = [
        str(lab.settings.engine_dir),
        str(context),
        str(tmp_path / "log"),
        base.reference,
        str(tmp_path / "out"),
        str(lab.store.root),
    ]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("begun" in line for line in iter(process.stdout.readline, ""))
        family = processes.descendants(process.pid)
        assert family
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in stderr
    assert [pid for pid in family if processes.start_time(pid) is not None] == []
    wait_until_gone("sleep 4343")
    assert lab.status().pid == status.pid
    again = write_context(tmp_path / "again", "RUN echo fine > /fine")
    lab.engine().build(again, log=tmp_path / "log", contexts={"parent": base.reference}, output=tmp_path / "out")


def test_an_image_is_loaded_run_and_removed(lab: Lab, base: Base, tmp_path: Path) -> None:
    engine = lab.engine()
    name = "rtbuild-test/tools:1"
    (image,) = engine.load(base.layout, {name: None})
    facts = engine.inspect(name)
    assert facts is not None
    assert facts.id == image
    assert facts.names == (name,)
    assert facts.layers == tuple(layer["digest"] for layer in layers_of(base.layout, base.manifest))
    noise = os.urandom(300_000)
    (tmp_path / "noise").write_bytes(noise)
    mounts = [Mount(source=tmp_path, target="/m")]
    assert engine.run(name, ["cat", "/m/noise"], mounts=mounts).stdout == noise
    outcome = engine.run(
        name,
        ["-c", "id -u; id -g; echo $COLOUR; ls /sys/class/net; echo bad >&2; exit 7"],
        entrypoint=["sh"],
        user="1234:56",
        env={"COLOUR": "deep blue"},
        workdir="/m",
        mounts=mounts,
    )
    assert outcome.exit_code == 7
    assert outcome.text.splitlines() == ["1234", "56", "deep blue", "lo"]
    assert outcome.stderr == b"bad\n"
    assert b"Read-only" in engine.run(name, ["sh", "-c", "echo x > /m/x"], mounts=mounts).stderr
    assert engine.run(name, ["sh", "-c", "echo x > /x"], read_only=True).exit_code != 0
    with pytest.raises(EngineError, match="did not end within 1 s"):
        engine.run(name, ["sleep", "600"], timeout=1)
    with pytest.raises(EngineError, match="no such file or directory"):
        engine.run(name, ["/none"])
    engine.remove_image(name)
    assert engine.inspect(name) is None
    with pytest.raises(EngineError, match="has no image"):
        engine.run(name)


def test_the_build_cache_is_known_and_given_back(lab: Lab, base: Base) -> None:
    folder = lab.settings.engine_dir
    found = usage.usage(folder)
    assert found.build_cache is not None
    assert found.build_cache > 1_000_000
    assert found.programs > 100_000_000
    assert found.total >= found.programs + found.data
    assert usage.prune(folder).build_cache > 1_000_000
    assert usage.usage(folder).build_cache == 0


def test_a_killed_engine_is_cleaned_up_and_started_again(lab: Lab, base: Base, tmp_path: Path) -> None:
    engine = lab.engine()
    name = "rtbuild-test/killed:1"
    engine.load(base.layout, {name: None})
    before = lab.status()
    context = write_context(tmp_path / "context", "RUN echo begun; sleep 4444")

    def kill() -> None:
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)

    def listen(line: str) -> None:
        if line.endswith(" begun"):
            threading.Timer(0.2, kill).start()

    with pytest.raises(EngineError, match="lost the connection to"):
        engine.build(
            context,
            log=tmp_path / "log",
            contexts={"parent": base.reference},
            output=tmp_path / "out",
            on_line=listen,
            timeout=60,
        )
    assert not lab.status().running
    assert lab.leftovers()
    after = lab.start()
    assert after.running
    assert after.pid != before.pid
    wait_until_gone("sleep 4444")
    assert engine.run(name, ["sh", "-c", "echo still here"]).text == "still here"
    engine.remove_image(name)


def test_a_stopped_engine_leaves_nothing_running_and_keeps_its_images(lab: Lab, base: Base) -> None:
    name = "rtbuild-test/stopped:1"
    lab.engine().load(base.layout, {name: None})
    stopped = lab.stop()
    assert not stopped.running
    assert lab.leftovers() == []
    assert not Path(stopped.host.removeprefix("unix://")).exists()
    assert lab.stop() == stopped
    engine = lab.engine()
    assert engine.inspect(name) is not None
    engine.remove_image(name)


def test_two_engines_run_side_by_side_and_export_the_same_layer(lab: Lab, tools: Path, tmp_path: Path) -> None:
    default, testing = lab.engine("default"), lab.engine("testing")
    assert default.endpoint.host != testing.endpoint.host
    assert default.versions.docker != testing.versions.docker
    layers = []
    for engine, folder in ((default, tmp_path / "default"), (testing, tmp_path / "testing")):
        outcome = make_base(engine, tools, folder).outcome
        assert outcome.manifest is not None
        (layer,) = layers_of(folder / "base", outcome.manifest)
        layers.append((layer["mediaType"], layer["size"]))
    assert layers[0] == layers[1]
    lab.stop("testing")
    assert lab.status("default").running


def test_concurrent_starts_start_one_engine(lab: Lab) -> None:
    lab.stop()
    statuses: list[EngineStatus] = []
    threads = [threading.Thread(target=lambda: statuses.append(lab.start())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({status.pid for status in statuses}) == 1
    assert len(statuses) == 3


def test_a_platform_that_the_engine_does_not_support_is_an_error(lab: Lab, tools: Path, tmp_path: Path) -> None:
    engine = replace(lab.engine(), platforms=(host_platform().name,))
    (foreign,) = (platform for platform in PLATFORMS.values() if platform != host_platform())
    with pytest.raises(EngineError, match=f"cannot run programs for {foreign}"):
        engine.build(tools, log=tmp_path / "log", output=tmp_path / "out", platform=foreign)


def wait_until_gone(command: str) -> None:
    """Wait until the engine has ended a cancelled command, which takes it a moment."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        running = subprocess.run(["pgrep", "-fx", command], capture_output=True, check=False)
        if running.returncode == 1:
            return
        time.sleep(0.1)
    raise AssertionError(f"{command} still runs")
