"""How the command line fails: message, exit code, nothing on stdout, one JSON object with `--json`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import rtbuild.cli.group
from rtbuild.cli.group import Root, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.derivations.plan import plan_release
from rtbuild.errors import BuildError, IntegrityError, MirrorError, NotReproducibleError, RtbuildError, UsageError
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer, realise

SRC = Path(rtbuild.cli.group.__file__).parents[2]

NOT_AT_START = {
    "debian",
    "docker",
    "email",
    "httpx2",
    "importlib.metadata",
    "importlib.resources",
    "installer",
    "pip",
    "piptools",
    "pysequoia",
    "python_on_whales",
    "requests",
    "resolvelib",
    "rich",
    "rtbuild.conformance",
    "rtbuild.engine",
    "rtbuild.inventory",
    "rtbuild.layers.debian",
    "rtbuild.layers.python",
    "rtbuild.mirror",
    "rtbuild.resolve",
    "rtbuild.store.collect",
    "rtbuild.store.inspect",
    "ssl",
    "tomlkit",
    "tomllib",
}
"""What takes long to import, and is of no use to a command that lists, plans, or finds every layer in the store."""

NOT_FOR_HELP = {
    "packaging",
    "platformdirs",
    "rtbuild.derivations",
    "rtbuild.layers",
    "rtbuild.lockfile",
    "rtbuild.oci",
    "rtbuild.recipe",
    "rtbuild.settings",
    "rtbuild.store",
    "rtbuild.verbs",
    "rtbuild.wheels",
    "rtbuild.workspace",
    "tomli",
    "zstandard",
}


def failing(error: BaseException) -> click.Group:
    """A command line whose only command raises `error`."""

    @click.group(cls=Root)
    @shared_options
    def root() -> None: ...

    @root.command()
    @shared_options
    def go() -> None:
        raise error

    return root


def chained() -> RtbuildError:
    try:
        try:
            raise ConnectionResetError("reset by peer")
        except OSError as error:
            raise MirrorError("mirror A: no answer") from error
    except MirrorError as error:
        outer = BuildError("base-os: cannot be built")
        outer.__cause__ = error
        return outer


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (RtbuildError("it broke"), 1, "error: it broke\n"),
        (
            IntegrityError("curl.deb: other bytes", details="size 3, not 4", hint="fetch it again"),
            1,
            "error: curl.deb: other bytes\ncause: size 3, not 4\nhint: fetch it again\n",
        ),
        (
            BuildError("base-os: dpkg failed", details="line one\nline two\n"),
            1,
            "error: base-os: dpkg failed\ncause: line one\n       line two\n",
        ),
        (
            IntegrityError("x\udce6\nerror: no", details="\x1b[2K\tlog"),
            1,
            "error: x\\udce6\\nerror: no\ncause: \\x1b[2K    log\n",
        ),
        (chained(), 1, "error: base-os: cannot be built\ncause: mirror A: no answer\ncause: reset by peer\n"),
        (UsageError("unknown platform 'x'"), 2, "error: unknown platform 'x'\n"),
        (NotReproducibleError("layer airflow differs"), 3, "error: layer airflow differs\n"),
        (OSError(28, "No space left on device", "/store/x"), 1, "error: No space left on device: /store/x\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (click.UsageError("no"), 2, "error: no\nhint: see: rtbuild go --help\n"),
    ],
)
def test_message_and_exit_code(error: BaseException, code: int, stderr: str) -> None:
    result = CliRunner().invoke(failing(error), ["go"], prog_name="rtbuild")
    assert (result.exit_code, result.stdout) == (code, "")
    # click says of an interrupt, before ours, only that the line ends
    assert result.stderr.lstrip("\n") == stderr


def test_json_has_the_names_of_files_that_are_not_utf8() -> None:
    result = CliRunner().invoke(failing(IntegrityError("x\udce6")), ["--json", "go"])
    assert r'"x\udce6"' in result.stdout
    assert answer(result)["error"] == "x\udce6"


@pytest.mark.parametrize("arguments", [["--json", "go"], ["go", "--json"]])
def test_an_error_is_one_json_object(arguments: list[str]) -> None:
    error = IntegrityError("curl.deb: other bytes", details="size 3, not 4", hint="fetch it again")
    result = CliRunner().invoke(failing(error), arguments)
    assert result.exit_code == 1
    assert answer(result) == {
        "error": "curl.deb: other bytes",
        "cause": "size 3, not 4",
        "hint": "fetch it again",
        "exit_code": 1,
    }
    assert result.stderr == ""


def test_a_bug_of_rtbuild_shows_its_traceback() -> None:
    result = CliRunner().invoke(failing(ZeroDivisionError("by nought")), ["go"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "error: ZeroDivisionError: by nought" in result.stderr
    assert "bug in rtbuild" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("plan",), "missing argument 'RELEASE'"),
        (("plan", "8.0", "--wrong"), "no such option"),
        (("bild", "8.0"), "no such command 'bild'"),
        (("plan", "8.0", "--platform", "linux/riscv64"), "unknown platform 'linux/riscv64'"),
        (("plan", "8.0", "--platform", "riscv64"), "unknown platform 'riscv64'"),
        (("why", "8.0", "pip", "--platform", "amd64,arm64"), "takes one platform"),
        (("build", "8.0", "--platform", "amd64,arm64", "--iidfile", "id"), "--iidfile takes one digest"),
        (("plan", "8.0", "--progress", "loud"), "'loud' is not one of"),
        (("build", "8.0", "--jobs", "0"), "0 is not in the range"),
        (("build", "8.0", "--jobs", "many"), "'many' is not a valid integer"),
        (("lock", "8.0", "--check", "--refresh"), "--check writes nothing"),
        (("lock", "8.0", "--refresh", "--upgrade-package", "x"), "--refresh upgrades everything"),
        (("lock", "8.0", "--upgrade-package", "celery>=5"), "'celery>=5' is neither NAME nor NAME==VERSION"),
        (("lock", "8.0", "--upgrade-package", "celery=="), "'celery==' is neither NAME nor NAME==VERSION"),
    ],
)
def test_usage(run: Run, arguments: tuple[str, ...], text: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    result = run(*arguments, "--json")
    assert text in answer(result)["error"]


@pytest.mark.parametrize("verb", ["plan", "build", "verify", "fetch", "export"])
def test_a_release_that_does_not_exist(run: Run, verb: str) -> None:
    result = run(verb, "9.9", "--platform", "linux/amd64")
    assert result.exit_code == 1
    assert result.stderr == "error: unknown release '9.9'\nhint: known releases: 8.0.0\n"


def test_a_folder_that_is_not_a_workspace(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("list", "--workspace", str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert "hint: change into a workspace, or name one with --workspace" in result.stderr


def test_no_command_is_answered_with_help(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: rtbuild")


def test_a_reader_that_goes_away_is_no_failure_to_speak_of(workspace: Workspace, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "rtbuild", "list", "--json", "--store", str(tmp_path / "store")]
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    process = subprocess.run(
        command, cwd=workspace.root, env=environment, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_one_line(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        "import sys, time, rtbuild.cli, rtbuild.cli.commands as commands, click\n"
        "@commands.rtbuild.command('wait')\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "sys.argv = ['rtbuild', 'wait']\n"
        "rtbuild.cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.decode().strip() == "error: interrupted"


IMPORTED = """
import json, sys
before = set(sys.modules)  # what the environment itself loads, such as a coverage tool
from rtbuild.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize(
    ("words", "also"),
    [
        (["--help"], NOT_FOR_HELP),
        (["list"], {"concurrent.futures", "rtbuild.derivations.plan", "rtbuild.lockfile.model", "zstandard"}),
        (["plan", "8.0", "--platform", "amd64"], set()),
        (["build", "8.0", "--platform", "amd64", "--quiet"], set()),  # with every layer in the store
    ],
    ids=["help", "list", "plan", "build"],
)
def test_a_command_imports_only_what_it_uses(
    run: Run, words: list[str], also: set[str], workspace: Workspace, lock: Lock, store: Store
) -> None:
    release, lock = workspace.release("8.0.0"), replace(lock, layers=(), image=None, image_base=None)
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)  # else the build would find other layers than it records
    for layer in release.layers:
        realise(store, plan_release(release, lock, store), layer.name)
    run("list")  # leaves a summary, without which the next one reads the lock
    command = [sys.executable, "-c", IMPORTED, *words]
    environment = {**os.environ, "PYTHONPATH": str(SRC), "RTBUILD_STORE": str(store.root)}
    process = subprocess.run(
        command, cwd=workspace.root, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    imported = set(json.loads(process.stdout.splitlines()[-1]))
    assert "rtbuild.cli.commands" in imported
    assert imported & (NOT_AT_START | also) == set()


def test_an_option_counts_wherever_it_stands() -> None:
    seen: list[Invocation] = []

    @click.group(cls=Root)
    @shared_options
    def root() -> None: ...

    @root.command()
    @shared_options
    @click.pass_obj
    def go(invocation: Invocation) -> None:
        seen.append(invocation)

    for arguments in (["--store", "here", "-q", "--json", "go"], ["go", "--store", "here", "-q", "--json"]):
        assert CliRunner().invoke(root, arguments).exit_code == 0
    assert seen[0] == seen[1] == Invocation(json=True, progress_mode="quiet", store_folder=Path("here"))


def test_json_stays_json_when_the_text_is_not_ascii(run: Run) -> None:
    result = run("plan", "8.ö", "--json")
    assert json.loads(result.stdout)["error"] == "unknown release '8.ö'"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("buidl", "8.0"), "error: no such command 'buidl'. Did you mean 'build'?\n"),
        (("xyzzy",), "error: no such command 'xyzzy'\n"),
    ],
)
def test_a_misspelt_command_gets_a_suggestion(run: Run, arguments: tuple[str, ...], error: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr == f"{error}hint: see: rtbuild --help\n"


@pytest.mark.parametrize("verb", ["plan", "build", "verify", "fetch"])
def test_every_platform_is_checked_before_the_first_is_worked_on(run: Run, lock: Lock, verb: str) -> None:
    result = run(verb, "8.0", "--platform", "amd64,arm64")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: release 8.0.0 has no image for linux/arm64\n")


def test_verbose_says_which_workspace_and_store_are_used(run: Run, lock: Lock, workspace: Workspace) -> None:
    stderr = run("plan", "8.0", "--platform", "amd64", "-v").stderr
    assert f"INFO rtbuild.cli: workspace {workspace.root}\n" in stderr
    assert "INFO rtbuild.cli: store " in stderr
