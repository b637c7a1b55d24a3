"""`rtbuild verify` on a release that needs no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.command_line import Run, answer
from tests.fakes.files_release import files_workspace, fill, let_verify_rebuild
from tests.fakes.image_archives import layer_paths, layer_tar, layout_files, read_folder, write_tar

HERE = ("--platform", "amd64")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return files_workspace(tmp_path / "project")


def test_verify_of_an_equal_rebuild(
    run: Run, workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, store)
    assert run("build", "8.0", *HERE, "--record", "--no-rebuild").exit_code == 0
    let_verify_rebuild(monkeypatch, workspace)
    result = run("verify", "8.0", *HERE, "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("\nreproducible\n")
    assert answer(run("verify", "8.0", *HERE, "-q", "--json"))["reproducible"] is True


def test_verify_names_the_files_that_differ(
    run: Run, workspace: Workspace, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, store)
    assert run("build", "8.0", *HERE, "--record", "--no-rebuild").exit_code == 0
    let_verify_rebuild(monkeypatch, workspace, {"python": "other"})
    result = run("verify", "8.0", *HERE, "--report", str(tmp_path / "report"))
    assert result.exit_code == 3
    assert "  /other  added" in result.stdout
    assert "NOT REPRODUCIBLE:\n  layer python" in result.stdout
    assert (tmp_path / "report" / "report.txt").read_text() == result.stdout


def test_one_report_is_for_one_platform(run: Run, tmp_path: Path) -> None:
    result = run("verify", "8.0", "--platform", "amd64,arm64", "--report", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--report holds one report" in result.stderr


def test_verify_of_a_layout_and_an_archive(
    run: Run, workspace: Workspace, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, store)
    image = tmp_path / "image"
    assert run("build", "8.0", *HERE, "--record", "--no-rebuild", "-o", str(image)).exit_code == 0
    let_verify_rebuild(monkeypatch, workspace)
    archive = write_tar(read_folder(image), tmp_path / "image.tar")
    for subject in (f"oci:{image}", f"{image}/", str(archive)):
        result = run("verify", subject, "-q")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.endswith("\nreproducible\n")
    for arguments in (("verify", "8.0", *HERE, "--against", str(image)), ("verify", str(image), "--release", "8.0")):
        document = answer(run(*arguments, "-q", "--json"))
        assert (document["reproducible"], document["rebuilt"], document["read"]["findings"]) == (True, True, [])
        assert document["expected_image_id"] == document["image_id"]


def test_without_a_rebuild_an_equal_image_is_no_failure_and_not_called_reproducible(
    run: Run, workspace: Workspace, store: Store, tmp_path: Path
) -> None:
    fill(workspace, store)
    image = tmp_path / "image"
    assert run("build", "8.0", *HERE, "--record", "--no-rebuild", "-o", str(image)).exit_code == 0
    for arguments in (("8.0", *HERE), (str(image),)):
        result = run("verify", *arguments, "--no-rebuild", "-q")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[-1].startswith("nothing was rebuilt: ")
        document = answer(run("verify", *arguments, "--no-rebuild", "-q", "--json"))
        assert (document["reproducible"], document["rebuilt"], document["mismatches"]) == (None, False, [])


@pytest.mark.parametrize("options", [(), ("--no-rebuild",)])
def test_a_damaged_image_has_the_exit_code_of_what_is_not_reproducible(
    run: Run, workspace: Workspace, store: Store, tmp_path: Path, options: tuple[str, ...]
) -> None:
    fill(workspace, store)
    assert run("build", "8.0", *HERE, "--record", "--no-rebuild", "-o", str(tmp_path / "image")).exit_code == 0
    files = read_folder(tmp_path / "image")
    layer = layer_paths(files)[0]
    files[layer] = b"garbage"
    for arguments in (
        (str(write_tar(files, tmp_path / "bad.tar")),),
        ("8.0", *HERE, "--against", str(tmp_path / "bad.tar")),
    ):
        result = run("verify", *arguments, *options, "-q")
        assert result.exit_code == 3
        assert f"NOT REPRODUCIBLE:\n  {layer}: damaged or swapped: " in result.stdout


def test_names_in_an_image_cannot_forge_an_answer(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    files = layout_files(layer_tar("a"))
    tar = write_tar({**files, "x\nreproducible": b"", "caf\udce9": b""}, tmp_path / "image.tar")
    result = run("verify", str(tar), "--release", "8.0", "--no-rebuild", "-q")
    assert (result.exit_code, result.stderr) == (3, "")
    assert r"  x\nreproducible: no image refers to it" in result.stdout.splitlines()
    assert r"  caf\udce9: no image refers to it" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("oci:x", "--against", "y"), "--against goes with RELEASE"),
        (("8.0", "--release", "8.0"), "--release goes with IMAGE"),
        (("oci:nowhere",), "nowhere is neither a folder nor a file"),
        (("nowhere/image.tar",), "nowhere/image.tar is neither a folder nor a file"),
    ],
)
def test_usage(run: Run, workspace: Workspace, arguments: tuple[str, ...], message: str) -> None:
    result = run("verify", *arguments, "-q")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
