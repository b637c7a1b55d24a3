"""What the command line says of a build: text, JSON, exit code."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from rtbuild.cli.build_commands import build_text
from rtbuild.cli.document import as_document
from rtbuild.cli.group import Group, shared_options
from rtbuild.cli.invocation import Invocation
from rtbuild.digest import DiffId, Digest, Key
from rtbuild.verbs.build_result import BuildResult, BuiltLayer

RESULT = BuildResult(
    release="8.0.0",
    platform="linux/amd64",
    image_id=Digest("sha256:" + "1" * 64),
    manifest_digest=Digest("sha256:" + "2" * 64),
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
        "equal to the lock",
    ]


def test_text_of_a_mismatch() -> None:
    text = build_text(replace(RESULT, matches_lock=False, mismatches=("layer airflow: a, the lock says b",)))
    assert text.splitlines()[-2:] == ["NOT what the lock says:", "  layer airflow: a, the lock says b"]


def test_text_where_there_is_nothing_to_compare_with() -> None:
    text = build_text(replace(RESULT, matches_lock=None))
    assert text.splitlines()[-1] == "the lock records no digests to compare with; --record writes these into it"


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
    @click.group(cls=Group)
    @shared_options
    def root() -> None: ...

    @root.command()
    @shared_options
    @click.pass_obj
    @click.pass_context
    def go(context: click.Context, invocation: Invocation) -> None:
        invocation.answer({"matches_lock": False}, "NOT what the lock says")
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
