"""What the command line says of a build: text, JSON, exit code."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from rtbuild.cli.build import build_text
from rtbuild.cli.document import as_document
from rtbuild.cli.group import Root, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.digest import DiffId, Digest, Key
from rtbuild.verbs.build import BuildResult, BuiltLayer

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
        f"image ID         sha256:{'1' * 64}",
        f"manifest digest  sha256:{'2' * 64}",
        "matches the lock",
        "images           astro-runtime:8.0.0, astro-runtime:8.0.0-base",
        "OCI layout       /store/layout",
        "load into Docker with: rtbuild build 8.0.0 --platform linux/amd64 --load",
    ]


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
