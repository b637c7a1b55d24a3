"""Pages and metadata as a resolution sees them: requested once, cached, and checked against what the index promised."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, MirrorError, ResolutionError, StoreError
from rtbuild.mirror import http
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.recipe.sdist import local_sdists
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.pages import DistributionFile
from rtbuild.resolve.python.target import Target
from rtbuild.workspace import Workspace
from tests.fakes.package_index import PackageIndex, make_sdist, make_wheel
from tests.fakes.packages import FOLDER, LAYER, write_package
from tests.fakes.workspaces import RELEASE, put, write_workspace
from tests.unit.resolve.python.conftest import AS_OF

Reader = Callable[[], Index]


@pytest.fixture
def reader(sources: MirrorSources, target: Target, tmp_path: Path) -> Reader:
    """Another run's view of the index each time, with the cache of the runs before."""
    return lambda: Index(sources, target=target, as_of=AS_OF, cache=tmp_path / "cache")


def only_file(view: Index, name: str = "spam") -> DistributionFile:
    (file,) = view.page(name).files
    return file


def test_metadata_is_parsed(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0", requires=["eggs>=2; extra == 'More.Eggs'"], extras=["More.Eggs"]))
    view = reader()
    metadata = view.metadata(only_file(view))
    assert list(map(str, metadata.requires)) == ['eggs>=2; extra == "more-eggs"']
    assert metadata.extras == {"more-eggs"}
    assert metadata.build_requires is None


def test_an_sdist_says_what_builds_it(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_sdist("spam", "1.0", requires=["eggs"], setup_requires=["cffi"]))
    view = reader()
    metadata = view.metadata(only_file(view))
    assert list(map(str, metadata.requires)) == ["eggs"]
    assert metadata.build_requires == ("setuptools>=40.8.0", "wheel", "cffi")


def test_everything_is_requested_once(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0"))
    view = reader()
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: view.text(only_file(view)), range(16)))
    assert len(set(texts)) == 1
    assert len(index.requested) == 2


def test_another_run_requests_pages_only(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_sdist("spam", "1.0", requires=["eggs"]))
    view = reader()
    first = view.metadata(only_file(view))
    index.requested.clear()
    view = reader()
    assert view.metadata(only_file(view)) == first
    assert index.requested == ["/simple/spam/"]


def test_a_damaged_cache_is_not_used(index: PackageIndex, reader: Reader, tmp_path: Path) -> None:
    index.publish(make_wheel("spam", "1.0", requires=["eggs"]))
    view = reader()
    first = view.text(only_file(view))
    (cached,) = (tmp_path / "cache").rglob("*.json")
    cached.write_bytes(cached.read_bytes()[:-5])
    view = reader()
    assert view.text(only_file(view)) == first


def test_a_cache_that_cannot_be_written(index: PackageIndex, reader: Reader, tmp_path: Path) -> None:
    file = index.publish(make_wheel("spam", "1.0"))
    (tmp_path / "cache" / "metadata" / "1" / f"{file.sha256}.json" / "in the way").mkdir(parents=True)
    view = reader()
    with pytest.raises(StoreError, match=r"cannot write .*\.json: "):
        view.text(only_file(view))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()], "nothing half written"


@pytest.mark.parametrize("size", [100, 400_000])
def test_an_index_without_metadata_files(index: PackageIndex, reader: Reader, size: int) -> None:
    """A small wheel is fetched whole, of a large one only the end."""
    index.publish(make_wheel("spam", "1.0", requires=["eggs"], files={"spam.py": os.urandom(size)}))
    index.without_metadata = True
    view = reader()
    assert "Requires-Dist: eggs\n" in view.text(only_file(view))


def test_an_sdist_may_be_larger_than_an_answer(
    index: PackageIndex, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are read into memory, within a limit; a file with a known digest is read from the disk."""
    monkeypatch.setattr(http, "_LARGEST", 64 << 10)
    file = index.publish(make_sdist("spam", "1.0", requires=["eggs"], files={"spam.bin": os.urandom(400_000)}))
    view = reader()
    assert list(map(str, view.metadata(only_file(view)).requires)) == ["eggs"]
    with pytest.raises(FetchFailure, match="more than"):
        Web().get(f"{index.base}{index.path_of(file.filename)}")


def test_relative_addresses(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.relative_urls = True
    file = only_file(reader())
    assert f"/{file.path}" == index.path_of(file.filename)


def test_a_failure_is_not_cached(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.fail("/simple/spam", status=404, times=1)
    view = reader()
    with pytest.raises(MirrorError):
        view.page("spam")
    assert only_file(view).filename == "spam-1.0-py3-none-any.whl"


def test_an_index_without_upload_times(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.without_upload_times = True
    with pytest.raises(ResolutionError, match=r"spam-1\.0-py3-none-any\.whl: the package index gives no upload-time"):
        reader().page("spam")


def test_an_index_without_json(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.html_only = True
    with pytest.raises(MirrorError, match="no package index has a usable page for spam"):
        reader().page("spam")


def test_a_file_with_other_bytes(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_sdist("spam", "1.0"), sha256="0" * 64)
    view = reader()
    with pytest.raises(IntegrityError, match=r"spam-1\.0\.tar\.gz"):
        view.text(only_file(view))


def test_a_metadata_file_with_other_bytes(index: PackageIndex, reader: Reader) -> None:
    index.publish(make_wheel("spam", "1.0"))
    index.replace("spam-1.0-py3-none-any.whl.metadata", b"Name: spam\nVersion: 1.0\nRequires-Dist: evil\n")
    view = reader()
    with pytest.raises(IntegrityError, match="spam"):
        view.text(only_file(view))


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        (b"nonsense", "spam-1.0-py3-none-any.whl: its metadata has no name or no version"),
        (b"Name: eggs\nVersion: 1.0\n", "spam-1.0-py3-none-any.whl: its metadata is that of eggs 1.0"),
        (b"Name: Spam\nVersion: 1.0.1\n", "spam-1.0-py3-none-any.whl: its metadata is that of Spam 1.0.1"),
        (
            b"Metadata-Version: 2.1\nName: spam\nVersion: 1.0\nRequires-Dist: eggs (>>1\n",
            "spam-1.0-py3-none-any.whl: line 4 of its metadata is not a valid requirement: 'eggs (>>1'",
        ),
    ],
)
def test_malformed_metadata(index: PackageIndex, reader: Reader, metadata: bytes, problem: str) -> None:
    index.publish(replace(make_wheel("spam", "1.0"), metadata=metadata))
    view = reader()
    with pytest.raises(ResolutionError) as caught:
        view.metadata(only_file(view))
    assert caught.value.brief == problem


def test_the_sdist_of_another_version(index: PackageIndex, reader: Reader) -> None:
    index.publish(replace(make_sdist("spam", "1.1"), filename="spam-1.0.tar.gz"))
    view = reader()
    for _ in range(2):
        with pytest.raises(ResolutionError, match=r"spam-1\.0\.tar\.gz: its metadata is that of spam 1\.1"):
            view.text(only_file(view))


def test_the_index_is_not_asked_for_a_local_package(
    index: PackageIndex, sources: MirrorSources, target: Target, tmp_path: Path
) -> None:
    root = write_workspace(tmp_path / "workspace", release=RELEASE.replace('"providers"]', '"providers", "gate"]'))
    put(root / "recipes/layers/gate.toml", LAYER)
    write_package(root / FOLDER)
    index.publish(make_wheel("gate-keeper", "9.0"))
    local = local_sdists(Workspace(root=root).release("8.0"))
    view = Index(sources, target=target, as_of=AS_OF, cache=tmp_path / "cache", local=local)
    file = only_file(view, "gate-keeper")
    assert (str(file.version), file.path) == ("1.0.0", FOLDER)
    assert "lantern" in {requirement.name for requirement in view.metadata(file).requires}
    assert index.requested == []
