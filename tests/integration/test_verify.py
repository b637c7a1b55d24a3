"""`rtbuild verify` by the command line: what is reproducible passes, what is not is named down to the file."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbuild.engine.engine import Engine
from rtbuild.formats.frames import zstd
from rtbuild.oci.compare import compare_layers
from tests.fakes import image_archives as archives
from tests.fakes.image_archives import Files
from tests.integration.command_line import Answer
from tests.integration.conftest import AMD64, FirstBuild, SmallRelease
from tests.integration.small import VERSION, lock_small_project

pytestmark = pytest.mark.integration


def verdicts(answer: Answer) -> dict[str, bool]:
    """Which layers are as they were expected."""
    return {layer["name"]: layer["expected"] == layer["found"] for layer in answer.document["layers"]}


def differences(answer: Answer) -> list[dict[str, Any]]:
    """Every difference of every layer, each with the layer's name."""
    layers = answer.document["layers"]
    return [{"layer": layer["name"], **found} for layer in layers for found in layer["differences"]]


def put_into_lock(small: SmallRelease, pattern: str, text: str) -> None:
    """Replace what `pattern` matches once in the lock, as an editor does."""
    path = small.workspace.lock_path(VERSION, AMD64)
    changed, count = re.subn(pattern, text, path.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
    assert count == 1
    path.write_text(changed)


def add_file(small: SmallRelease, name: str, content: str) -> None:
    """Let the Airflow layer install a file in /opt."""
    recipe = small.workspace.root / "recipes" / "layers" / "airflow.toml"
    (recipe.parent / "airflow").mkdir(exist_ok=True)
    (recipe.parent / "airflow" / name).write_text(content)
    with recipe.open("a") as stream:
        stream.write(f'\n[[files]]\npath = "/opt/{name}"\nsource = "{name}"\n')


def lock_again(small: SmallRelease) -> None:
    """Bring the lock up to the recipes as they are now."""
    lock_small_project(small.workspace, small.workspace.read_lock(VERSION, AMD64))


def test_the_release_is_reproducible(first_build: FirstBuild) -> None:
    answer = first_build.command.run("verify", "8.0").succeeded()
    lines = answer.stdout.splitlines()
    assert lines[-1] == "reproducible"
    assert [line.split()[:2] for line in lines if line.startswith("  ")] == [
        ["equal", layer["name"]] for layer in first_build.answer["layers"]
    ]
    assert f"config digest       {first_build.answer['image_id']} = expected" in lines


def test_a_lock_that_records_another_layer(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    put_into_lock(mine, r"(\[layers\.python\].*?diff_id = \"sha256:)[0-9a-f]{64}", r"\g<1>" + "0" * 64)
    answer = mine.command.run("verify", VERSION)
    assert answer.code == 3
    assert re.search(r"^  DIFFERS python  sha256:", answer.stdout, re.MULTILINE)
    assert f"          expected sha256:{'0' * 64}\n" in answer.stdout
    assert "the recorded layer is not in the store" in answer.stdout
    assert re.findall(r"^  equal   (\S+)", answer.stdout, re.MULTILINE) == ["base-os", "airflow"]
    # The image is the one that the lock records, and still: a wrong digest in the lock is not reproduced.
    heading, mismatch = answer.stdout.splitlines()[-2:]
    assert heading == "NOT REPRODUCIBLE:"
    assert mismatch.startswith("  layer python (same inputs): sha256:")


def test_a_lock_that_records_other_images(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    put_into_lock(mine, r"(\[image\].*?id = \"sha256:)[0-9a-f]{64}", r"\g<1>" + "0" * 64)
    put_into_lock(mine, r"(\[image-base\].*?manifest = \"sha256:)[0-9a-f]{64}", r"\g<1>" + "1" * 64)
    answer = mine.command.run("build", VERSION, "--json")  # everything is in the store
    assert answer.code == 3
    assert answer.document["matches_lock"] is False
    assert answer.document["mismatches"] == [
        f"config digest: {small.answer['image_id']}, the lock records sha256:{'0' * 64}",
        f"base manifest digest: {small.answer['image_base']['manifest']}, the lock records sha256:{'1' * 64}",
    ]


def test_a_lock_that_records_another_base_image(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room)
    put_into_lock(mine, r"(\[image-base\].*?id = \"sha256:)[0-9a-f]{64}", r"\g<1>" + "0" * 64)
    answer = mine.command.run("verify", VERSION)
    assert answer.code == 3
    assert answer.stdout.splitlines()[-2:] == [
        "NOT REPRODUCIBLE:",
        f"  base config digest: {small.answer['image_base']['id']}, the lock records sha256:{'0' * 64}",
    ]


def test_against_what_build_wrote(small: SmallRelease, room: Path) -> None:
    """The image with ONBUILD triggers is compared, though the one without them lies beside it."""
    small.command.run("build", VERSION, "--output", str(room / "image")).succeeded()
    answer = small.command.run("verify", VERSION, "--against", str(room / "image"), "--json").succeeded()
    assert answer.document["expected_image_id"] == small.answer["image_id"]
    assert answer.document["mismatches"] == []


def garbage_layer(files: Files) -> None:
    files[archives.layer_paths(files)[1]] = b"garbage"


def missing_layer(files: Files) -> None:
    del files[archives.layer_paths(files)[1]]


def swapped_layers(files: Files) -> None:
    one, two, *_ = archives.layer_paths(files)
    files[one], files[two] = files[two], files[one]


def evil_layer(files: Files) -> None:
    """A setuid file in the place of a layer, which manifest and index name with its right digest and size."""
    archives.replace_layer(files, 1, zstd().frame(archives.layer_tar("evil", mode=0o4755)))


def other_entrypoint(files: Files) -> None:
    path, config = archives.config(files)
    files[path] = json.dumps({**config, "config": {"Entrypoint": ["/evil"]}}).encode()


@pytest.mark.parametrize("tamper", [garbage_layer, missing_layer, swapped_layers, evil_layer, other_entrypoint])
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_tampered_image_is_found_out_before_anything_is_rebuilt(
    small: SmallRelease, room: Path, tamper: Callable[[Files], None], form: str
) -> None:
    small.command.run("build", VERSION, "--output", str(room / "image")).succeeded()
    files = archives.read_folder(room / "image")
    tamper(files)
    write = archives.write_folder if form == "folder" else archives.write_tar
    answer = small.command.run("verify", str(write(files, room / "tampered")), "--json")
    assert answer.code == 3
    assert (answer.document["rebuilt"], answer.document["reproducible"]) == (False, False)
    assert re.match(r"blobs/sha256/[0-9a-f]{64}: ", answer.document["mismatches"][0])


def test_an_image_in_docker(small: SmallRelease, engine: Engine) -> None:
    names = {"RTBUILD_REPOSITORY": "rtbuild-tests/small"}
    command = replace(small.command, environment={**small.command.environment, **names})
    command.run("build", VERSION, "--load").succeeded()
    try:
        answer = command.run("verify", f"docker:rtbuild-tests/small:{VERSION}", "--json").succeeded()
        assert (answer.document["reproducible"], answer.document["rebuilt"]) == (True, True)
        assert answer.document["expected_image_id"] == answer.document["image_id"] == small.answer["image_id"]
        base = command.run("verify", f"docker:rtbuild-tests/small:{VERSION}-base", "--no-rebuild").succeeded()
        assert f"base config digest  {small.answer['image_base']['id']}" in base.stdout.splitlines()
        assert base.stdout.splitlines()[-1].startswith("nothing was rebuilt: ")
    finally:
        for suffix in ("", "-base"):
            engine.remove_image(f"rtbuild-tests/small:{VERSION}{suffix}")


def test_an_archive_of_skopeo_in_the_old_format_of_docker(small: SmallRelease, room: Path) -> None:
    # Debian 12's skopeo cannot bring zstd into that format.
    command = replace(small.command, environment={**small.command.environment, "RTBUILD_COMPRESSION": "gzip"})
    command.run("build", VERSION, "--output", str(room / "image")).succeeded()
    archive = room / "saved.tar"
    subprocess.run(
        ["skopeo", "copy", f"oci:{room / 'image'}:{VERSION}", f"docker-archive:{archive}:small:{VERSION}"], check=True
    )
    answer = small.command.run("verify", str(archive), "--json", "--no-rebuild").succeeded()
    assert answer.document["expected_image_id"] == small.answer["image_id"]
    assert (answer.document["expected_manifest_digest"], answer.document["read"]["findings"]) == (None, [])


def test_against_an_image_with_a_changed_byte_and_one_more_file(small: SmallRelease, room: Path) -> None:
    mine = small.copy(room / "mine")
    add_file(mine, "greeting", "hello\n")
    other = mine.copy(room / "other")
    lock_again(mine)
    (other.workspace.root / "recipes/layers/airflow/greeting").write_text("hallo\n")
    add_file(other, "another", "")
    lock_again(other)
    other.command.run("build", VERSION, "--output", str(room / "image")).succeeded()

    answer = mine.command.run("verify", VERSION, "--against", str(room / "image"), "--json")
    assert answer.code == 3
    assert answer.document["reproducible"] is False
    assert verdicts(answer) == {"base-os": True, "python": True, "airflow": False}
    found = differences(answer)
    assert [(one["path"], one["what"]) for one in found] == [("/opt/another", "missing"), ("/opt/greeting", "content")]
    assert all(one["layer"] == "airflow" for one in found)
    assert found[1]["before"] != found[1]["after"]


def test_a_build_that_is_not_reproducible_is_caught_with_its_file(small: SmallRelease, room: Path) -> None:
    """A log with times, which the recipe forgets to leave out, is what differs, and is named."""
    mine = small.unbuilt(room)
    recipe = mine.workspace.root / "recipes" / "layers" / "base-os.toml"
    text, count = re.subn(r"\[\[removals\]\]\npattern = \"/var/log/dpkg.log\"\n.*?\n\n", "", recipe.read_text())
    assert count == 1
    recipe.write_text(text)
    lock_again(mine)
    mine.command.run("build", VERSION, "--record", "--no-rebuild").succeeded()
    answer = mine.command.run("verify", VERSION, "--json", "--report", str(room / "report"))
    assert answer.code == 3
    assert verdicts(answer) == {"base-os": False, "python": False, "airflow": True}
    # The log of python's packages goes on where that of base-os ends, so both layers have it.
    assert {(one["layer"], one["path"], one["what"]) for one in differences(answer)} == {
        ("base-os", "/var/log/dpkg.log", "content"),
        ("python", "/var/log/dpkg.log", "content"),
    }

    report = room / "report"
    assert {path.name for path in report.iterdir()} == {
        "report.txt",
        "report.json",
        "base-os.tar.zst",
        "python.tar.zst",
    }
    assert "/var/log/dpkg.log  content: " in (report / "report.txt").read_text()
    assert json.loads((report / "report.json").read_text())["reproducible"] is False
    expected = mine.store.realisation(mine.workspace.read_lock(VERSION, AMD64).layers[0].key)
    assert expected is not None
    blob = mine.store.layout.blob_path(expected.blob)
    assert [one.path for one in compare_layers(blob, report / "base-os.tar.zst")] == ["/var/log/dpkg.log"]


@pytest.mark.parametrize(
    ("make", "brief"),
    [
        (lambda folder: None, "is neither a folder nor a file"),
        (lambda folder: folder.mkdir(), "no OCI image layout at"),
    ],
)
def test_against_what_is_no_image(small: SmallRelease, tmp_path: Path, make: Any, brief: str) -> None:
    make(tmp_path / "image")
    answer = small.command.run("verify", VERSION, "--against", str(tmp_path / "image"))
    assert answer.code in (1, 2)
    assert brief in answer.error(answer.code)


def test_a_lock_without_results_has_nothing_to_verify(small: SmallRelease, room: Path) -> None:
    mine = small.unbuilt(room)
    lock_again(mine)
    answer = mine.command.run("verify", VERSION)
    assert answer.error() == f"runtime.lock/{VERSION}/linux-amd64.toml: records no digests to verify"
    assert f"hint: build it first: rtbuild build {VERSION} --record" in answer.stderr
