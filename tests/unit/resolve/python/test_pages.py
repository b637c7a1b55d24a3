"""One file per version, chosen as an installer on the target would, as the index stood at the recipe's moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from packaging.version import Version

from rtbuild.errors import ResolutionError
from rtbuild.formats.project_page import ProjectFile
from rtbuild.resolve.python.pages import TargetPage, read_page
from rtbuild.resolve.python.target import Target

AS_OF = datetime(2023, 5, 1, tzinfo=UTC)


def entry(filename: str, **changes: Any) -> ProjectFile:
    whole: dict[str, Any] = {
        "filename": filename,
        "url": f"http://127.0.0.1/files/aa/{filename}",
        "hashes": {"sha256": "a" * 64},
        "size": 7,
        "upload-time": "2023-01-01T00:00:00.000000Z",
        "requires-python": None,
        "yanked": False,
    }
    whole.update(changes)
    return cast(ProjectFile, {key: value for key, value in whole.items() if value != "absent"})


def page(target: Target, *entries: ProjectFile, name: str = "spam", pre_releases: bool = False) -> TargetPage:
    return read_page(name, {"files": list(entries)}, target=target, as_of=AS_OF, pre_releases=pre_releases)


def names(found: TargetPage) -> list[str]:
    return [file.filename for file in found.files]


@pytest.mark.parametrize(
    ("files", "best"),
    [
        (["spam-1-py3-none-any.whl", "spam-1-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], 1),
        (["spam-1-cp39-cp39-manylinux_2_31_x86_64.whl", "spam-1-cp39-cp39-manylinux_2_17_x86_64.whl"], 0),
        (["spam-1-cp39-cp39-manylinux_2_32_x86_64.whl", "spam-1.tar.gz"], 1),
        (["spam-1-cp310-cp310-manylinux_2_17_x86_64.whl", "spam-1.tar.gz"], 1),
        (["spam-1.tar.gz", "spam-1-py2.py3-none-any.whl"], 1),
        (["spam-1-1-py3-none-any.whl", "spam-1-2-py3-none-any.whl"], 1),
        (["spam-1.zip", "spam-1.tar.gz"], 1),
    ],
)
def test_the_best_file_of_a_version(target: Target, files: list[str], best: int) -> None:
    assert names(page(target, *map(entry, files))) == [files[best]]
    assert names(page(target, *map(entry, reversed(files)))) == [files[best]]


def test_any_file_is_better_than_a_yanked_one(target: Target) -> None:
    found = page(target, entry("spam-1-py3-none-any.whl", yanked="broken"), entry("spam-1.tar.gz"))
    assert names(found) == ["spam-1.tar.gz"]


@pytest.mark.parametrize(("yanked", "reason"), [(True, ""), ("broken", "broken"), (False, None)])
def test_yanked_with_and_without_a_reason(target: Target, yanked: bool | str, reason: str | None) -> None:
    (file,) = page(target, entry("spam-1.tar.gz", yanked=yanked)).files
    assert file.yanked == reason


def test_files_uploaded_before_as_of_count(target: Target) -> None:
    found = page(
        target,
        entry("spam-1.tar.gz", **{"upload-time": "2023-04-30T23:59:59.999999Z"}),
        entry("spam-2.tar.gz", **{"upload-time": "2023-05-01T00:00:00Z"}),
        entry("spam-3.tar.gz", **{"upload-time": "2023-05-01T01:30:00+02:00"}),
    )
    assert names(found) == ["spam-1.tar.gz", "spam-3.tar.gz"]
    assert found.other_later == ("2",)


def test_requires_python_is_compared_with_the_target(target: Target) -> None:
    found = page(
        target,
        entry("spam-1.tar.gz", **{"requires-python": ">=3.6"}),
        entry("spam-2.tar.gz", **{"requires-python": ">=3.10"}),
        entry("spam-3.tar.gz", **{"requires-python": ">=3.9.3"}),
        entry("spam-4.tar.gz", **{"requires-python": "three"}),
    )
    assert names(found) == ["spam-1.tar.gz", "spam-4.tar.gz"]
    assert found.other_python == ("2", "3")


@pytest.mark.parametrize("field", ["upload-time", "size", "hashes", "url"])
def test_a_missing_field_is_an_error(target: Target, field: str) -> None:
    with pytest.raises(ResolutionError, match=rf"spam-1\.tar\.gz: the package index gives no {field}") as caught:
        page(target, entry("spam-1.tar.gz", **{field: "absent"}))
    assert "PEP 700" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hashes": {"md5": "1"}}, "no sha256"),
        ({"hashes": {"sha256": "A" * 64}}, "no sha256"),
        ({"upload-time": "yesterday"}, "is not a time"),
        ({"upload-time": "2023-01-01T00:00:00"}, "no time zone"),
        ({"size": "7"}, "not a number of bytes"),
        ({"size": -1}, "not a number of bytes"),
    ],
)
def test_a_malformed_field_is_an_error(target: Target, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ResolutionError, match=text):
        page(target, entry("spam-1.tar.gz", **changes))


def test_other_files_are_ignored(target: Target) -> None:
    strange = ["spam-1.win32.exe", "spam-1-py3.9.egg", "spam.tar.gz", "eggs-1.tar.gz", "spam-x.tar.gz", "spam-1.whl"]
    assert names(page(target, *[entry(name, **{"upload-time": "absent"}) for name in strange])) == []


@pytest.mark.parametrize(
    ("project", "filename", "version"),
    [
        ("python-nvd3", "python-nvd3-0.15.0.tar.gz", "0.15.0"),
        ("zope-event", "zope.event-4.6.tar.gz", "4.6"),
        ("apache-airflow", "apache_airflow-2.6.0-py3-none-any.whl", "2.6.0"),
        ("spam", "spam-1.0-1.tar.gz", "1.0.post1"),
        ("spam", "spam-1.0+local.1-py3-none-any.whl", "1.0+local.1"),
    ],
)
def test_the_version_in_a_file_name(target: Target, project: str, filename: str, version: str) -> None:
    (file,) = page(target, entry(filename), name=project).files
    assert file.version == Version(version)


def test_the_path_of_a_file_names_no_host(target: Target) -> None:
    (file,) = page(target, entry("spam-1.tar.gz", url="http://127.0.0.1/files/spam%2B1.tar.gz?x=1#sha256=0")).files
    assert file.path == "files/spam+1.tar.gz"


def test_versions_are_sorted(target: Target) -> None:
    files = [entry(f"spam-{version}.tar.gz") for version in ("1.10", "1.9", "1!0.1", "1.10.post1")]
    assert [str(file.version) for file in page(target, *files).files] == ["1.9", "1.10", "1.10.post1", "1!0.1"]


def test_pre_releases_count_if_requested_or_alone(target: Target) -> None:
    both = [entry("spam-1.tar.gz"), entry("spam-2rc1.tar.gz")]
    assert names(page(target, *both)) == ["spam-1.tar.gz"]
    assert page(target, *both).pre_releases == ("2rc1",)
    assert names(page(target, *both, pre_releases=True)) == ["spam-1.tar.gz", "spam-2rc1.tar.gz"]
    assert names(page(target, both[1])) == ["spam-2rc1.tar.gz"]


def test_an_explanation_names_unusable_versions(target: Target) -> None:
    found = page(
        target,
        entry("spam-1-cp39-cp39-win_amd64.whl"),
        entry("spam-2.tar.gz", **{"upload-time": "2024-01-01T00:00:00Z"}),
        entry("spam-3.tar.gz", **{"requires-python": ">=3.12"}),
    )
    reasons = ("1 uploaded too late (2)", "1 for other platforms only (1)", "1 for other Pythons only (3)")
    assert found.explain() == f"spam: no version can be used, {', '.join(reasons)}"
