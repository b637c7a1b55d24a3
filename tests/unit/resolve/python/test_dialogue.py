"""The parent's side of a conversation, with a scripted process on the other side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from rtbuild.errors import MirrorError
from rtbuild.mirror.remote import MirrorSources
from rtbuild.resolve.python.dialogue import Conversation, Question
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.messages import Chosen, Impossible, Report, encode
from rtbuild.resolve.python.prefetch import Prefetch
from rtbuild.resolve.python.target import Target
from tests.fakes.package_index import PackageIndex, make_sdist, make_wheel
from tests.unit.resolve.python.conftest import AS_OF, Listener

QUESTION = Question(requirements=("spam",), constraints=("eggs<2",), preferences={"spam": "1.0"})


class Script:
    """A conversation in which the process says what a test wants."""

    def __init__(self, sources: MirrorSources, target: Target, listener: Listener, cache: Path) -> None:
        index = Index(sources, target=target, as_of=AS_OF, cache=cache)
        prefetch = Prefetch(index, requirements=[], constraints=[], preferences={})
        self.conversation = Conversation(QUESTION, index, prefetch, task="resolve", progress=listener)
        self.answers = BytesIO()

    def play(self, *reports: Report) -> Chosen | Impossible | None:
        said = BytesIO("".join(map(encode, reports)).encode())
        return self.conversation.hold(Path("/nowhere"), self.answers, said)

    def heard(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.answers.getvalue().splitlines()]


@pytest.fixture
def script(sources: MirrorSources, target: Target, listener: Listener, tmp_path: Path) -> Script:
    return Script(sources, target, listener, tmp_path / "cache")


def impossible(reasons: Sequence[str] = (), names: Sequence[str] = (), warnings: Sequence[str] = ()) -> Impossible:
    return {"kind": "impossible", "reasons": list(reasons), "names": list(names), "warnings": list(warnings)}


def test_the_first_message_is_the_question(script: Script) -> None:
    assert script.play({"kind": "chosen", "packages": {}}) == {"kind": "chosen", "packages": {}}
    (start,) = script.heard()
    assert start["requirements"] == ["spam"]
    assert start["constraints"] == ["eggs<2"]
    assert start["preferences"] == {"spam": "1.0"}
    assert start["as_of"] == "2023-05-01T00:00:00+00:00"
    assert start["python"] == [3, 9, 2]
    assert start["folder"] == "/nowhere"


def test_pages_and_metadata_are_served(index: PackageIndex, script: Script) -> None:
    index.publish(make_wheel("spam", "1.0", requires=["eggs"]), yanked=True)
    script.play({"kind": "page", "subject": "spam"}, {"kind": "metadata", "subject": "spam-1.0-py3-none-any.whl"})
    _, page, metadata = script.heard()
    (file,) = json.loads(str(page["content"]))["files"]
    assert file["url"] == "/files/spam-1.0-py3-none-any.whl"
    assert (file["yanked"], file["core-metadata"]) == (True, True)
    assert "Requires-Dist: eggs\n" in str(metadata["content"])


def test_progress_counts_each_package_once(script: Script, listener: Listener) -> None:
    script.play({"kind": "pinned", "name": "spam"}, {"kind": "pinned", "name": "spam"})
    assert listener.advanced == 1


def test_many_rejected_versions_are_reported(script: Script, listener: Listener) -> None:
    script.play({"kind": "rejected", "name": "spam", "times": 20})
    assert listener.notes == ["spam: 20 versions do not fit, trying others"]


def test_a_process_that_ends_early_has_no_result(script: Script) -> None:
    assert script.play({"kind": "pinned", "name": "spam"}) is None


def test_an_unknown_project_ends_the_conversation(index: PackageIndex, script: Script) -> None:
    with pytest.raises(MirrorError) as caught:
        script.play({"kind": "page", "subject": "spam"})
    assert str(caught.value.hint).startswith("check the spelling of spam; ")


def test_unusable_metadata_is_explained_only_if_nothing_fits(index: PackageIndex, script: Script) -> None:
    index.publish(make_sdist("spam", "2.0", egg_info=False))
    script.play({"kind": "page", "subject": "spam"}, {"kind": "metadata", "subject": "spam-2.0.tar.gz"})
    warnings = ["pip: discarding metadata-that-cannot-be-used", "pip: something else"]
    error = script.conversation.explain(impossible(["the recipe asks for spam"], ["spam"], warnings))
    assert error.brief == "spam-2.0.tar.gz: its requirements are unknown unless its setup.py is run"
    assert str(error.details).splitlines() == ["the recipe asks for spam", "spam: 1 can be used (2.0)"]
    assert error.hint == "pin a version that has a wheel in the recipe's constraints"


def test_one_file_that_cannot_be_used_is_not_the_reason(index: PackageIndex, script: Script) -> None:
    index.publish(make_sdist("spam", "2.0", egg_info=False))
    index.publish(make_wheel("spam", "1.0"))
    script.play(
        {"kind": "page", "subject": "spam"},
        {"kind": "metadata", "subject": "spam-2.0.tar.gz"},
        {"kind": "metadata", "subject": "spam-1.0-py3-none-any.whl"},
    )
    error = script.conversation.explain(impossible(["the recipe asks for spam"], ["spam"], ["pip: something else"]))
    assert error.brief == "spam: no version fits"
    assert str(error.details).splitlines()[2:] == [
        "spam-2.0.tar.gz: its requirements are unknown unless its setup.py is run",
        "pip: something else",
    ]


def test_a_constraint_on_a_package_that_does_not_fit_is_named(index: PackageIndex, script: Script) -> None:
    error = script.conversation.explain(impossible(["the recipe asks for eggs>=2"], ["eggs"]))
    assert error.brief == "the requirements on eggs contradict each other"
    assert str(error.details).splitlines() == ["the recipe asks for eggs>=2", "constrained to eggs<2"]


def test_a_failure_without_names(script: Script) -> None:
    assert script.conversation.explain(impossible(["it broke"])).brief == "the requirements cannot be satisfied"
