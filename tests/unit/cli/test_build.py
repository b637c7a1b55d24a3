"""What the command line says of a build: text, JSON, exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rtbuild.cli.build import build_text
from rtbuild.cli.document import as_document
from rtbuild.cli.group import Root, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.digest import DiffId, Digest, Key
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuildResult, BuiltLayer
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64, Run, answer
from tests.fakes.files_release import files_workspace, fill

HERE = ("--platform", "amd64")

RESULT = BuildResult(
    release="8.0.0",
    platform="linux/amd64",
    image_id=Digest("sha256:" + "1" * 64),
    manifest_digest=Digest("sha256:" + "2" * 64),
    manifest_size=1200,
    compressor="zstd",
    image_base=None,
    matches_lock=True,
    mismatches=(),
    recorded_compressor="zstd",
    layers=(
        BuiltLayer(
            name="base-os",
            key=Key("3" * 64),
            diff_id=DiffId(Digest("sha256:" + "4" * 64)),
            size=98_200_000,
            state="built",
        ),
        BuiltLayer(
            name="airflow", key=Key("5" * 64), diff_id=DiffId(Digest("sha256:" + "6" * 64)), size=1, state="cached"
        ),
    ),
    images=("astro-runtime:8.0.0", "astro-runtime:8.0.0-base"),
    location="/store/layout",
    seconds=61.26,
)


def test_text() -> None:
    assert build_text(RESULT).splitlines() == [
        "8.0.0 for linux/amd64 in 61.3 s",
        "layer    key           state   size     diff id",
        "base-os  333333333333  built   98.2 MB  444444444444",
        "airflow  555555555555  cached  1 B      666666666666",
        f"config digest    sha256:{'1' * 64}  (Docker's image ID with the classic image store)",
        f"manifest digest  sha256:{'2' * 64}  (Docker's image ID with the containerd image store)",
        "matches the lock: diff IDs, config digest and manifest digest",
        "images           astro-runtime:8.0.0, astro-runtime:8.0.0-base",
        "OCI layout       /store/layout",
        "load into Docker with: rtbuild build 8.0.0 --platform linux/amd64 --load",
    ]


def test_text_says_which_digests_were_compared() -> None:
    text = build_text(replace(RESULT, recorded_compressor="zlib 1.3"))
    assert (
        "\nmatches the lock: diff IDs and config digest; "
        "the manifest digest cannot be compared, because the lock's was written by zlib 1.3\n"
    ) in text


def test_text_of_a_loaded_image_ends_with_the_command_that_runs_it() -> None:
    run = "docker run --rm -it -p 8080:8080 astro-runtime:8.0.0 airflow standalone"
    assert build_text(replace(RESULT, loaded=True, run=run)).splitlines()[-1] == f"run              {run}"


def test_text_of_a_mismatch() -> None:
    lines = build_text(replace(RESULT, matches_lock=False, mismatches=("layer airflow: a, the lock records b",)))
    assert "\ndoes not match the lock:\n  layer airflow: a, the lock records b\n" in lines


def test_text_if_the_lock_records_nothing() -> None:
    text = build_text(replace(RESULT, matches_lock=None))
    assert "\nthe lock records no digests; record these with: --record\n" in text


def test_json_has_every_promised_field() -> None:
    document = json.loads(json.dumps(as_document(RESULT)))
    promised = {"release", "platform", "image_id", "manifest_digest", "matches_lock", "layers", "seconds"}
    assert promised <= set(document)
    assert document["matches_lock"] is True
    assert document["layers"][1] == {
        "name": "airflow",
        "key": "5" * 64,
        "diff_id": "sha256:" + "6" * 64,
        "size": 1,
        "state": "cached",
    }


@pytest.mark.parametrize("arguments", [["go"], ["go", "--json"]])
def test_an_answer_and_an_exit_code(arguments: list[str]) -> None:
    @click.group(cls=Root)
    @shared_options
    def root() -> None: ...

    @root.command()
    @shared_options
    @click.pass_obj
    @click.pass_context
    def go(context: click.Context, invocation: Invocation) -> None:
        invocation.answer({"matches_lock": False}, "does not match the lock")
        context.exit(3)

    result = CliRunner().invoke(root, arguments)
    assert (result.exit_code, result.stderr) == (3, "")
    assert result.stdout


def test_several_platforms_are_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    other = replace(RESULT, platform="linux/arm64")
    invocation = Invocation(json=True)
    invocation.answer_each("builds", [as_document(RESULT), as_document(other)], ["a", "b"])
    assert [one["platform"] for one in json.loads(capsys.readouterr().out)["builds"]] == ["linux/amd64", "linux/arm64"]
    invocation.answer_each("builds", [as_document(RESULT)], ["a"])
    assert json.loads(capsys.readouterr().out)["platform"] == "linux/amd64"
    Invocation().answer_each("builds", [{}, {}], ["a", "b"])
    assert capsys.readouterr().out == "a\n\nb\n"


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose release needs no engine, once the store is filled."""
    return files_workspace(tmp_path / "project")


def test_build_writes_what_it_is_asked_for(run: Run, workspace: Workspace, store: Store, tmp_path: Path) -> None:
    fill(workspace, store)
    files = ("--iidfile", str(tmp_path / "id"), "--metadata-file", str(tmp_path / "metadata"))
    result = run(
        "build", "8.0", *HERE, "--record", "--no-rebuild", "-o", str(tmp_path / "image"), *files, "--json", "-q"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    document = answer(result)
    assert document["matches_lock"] is True
    assert document["location"] == str(tmp_path / "image")
    assert (tmp_path / "image" / "oci-layout").is_file()
    assert (tmp_path / "id").read_text() == document["image_id"]
    assert json.loads((tmp_path / "metadata").read_text())["containerimage.digest"] == document["manifest_digest"]


def test_no_rebuild_goes_with_record(run: Run, workspace: Workspace) -> None:
    result = run("build", "8.0", *HERE, "--no-rebuild")
    assert result.exit_code == 2
    assert "--no-rebuild goes with --record" in result.stderr


def test_a_build_that_does_not_match_its_lock_has_an_exit_code_of_its_own(
    run: Run, workspace: Workspace, store: Store
) -> None:
    fill(workspace, store)
    assert run("build", "8.0", *HERE, "--record", "--no-rebuild").exit_code == 0
    recorded = workspace.read_lock("8.0.0", AMD64)
    write_lock(workspace.lock_path("8.0.0", AMD64), replace(recorded, image=recorded.image_base))
    result = run("build", "8.0", *HERE)
    assert result.exit_code == 3
    assert "does not match the lock:\n  config digest: sha256:" in result.stdout


def test_one_digest_file_is_for_one_platform(run: Run, tmp_path: Path) -> None:
    result = run("build", "8.0", "--platform", "amd64,arm64", "--iidfile", str(tmp_path / "id"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--iidfile takes one digest" in result.stderr


def test_a_folder_of_something_else_gets_no_image(run: Run, workspace: Workspace, lock: Lock, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    result = run("build", "8.0.0", *HERE, "-o", str(tmp_path / "photos"))
    assert result.exit_code == 1
    assert f"error: {tmp_path}/photos: is not an OCI image layout, and not empty" in result.stderr
    assert "hint: name a new or empty folder" in result.stderr
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["me.jpg"]
