"""Where an artifact is looked for on each kind of mirror."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rtbuild.lockfile.model import Artifact
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.find import SETTINGS, Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.locations import Locations
from rtbuild.mirror.site import Mirror
from rtbuild.recipe.model import Suite
from tests.fakes import locks
from tests.fakes.package_index import PackageIndex, make_wheel

MOMENT = "20230501T000000Z"
DEB = replace(locks.deb("hello", "2:1.0"), archive="debian", suite="stable")


@pytest.fixture
def cache() -> Iterator[AnswerCache]:
    web = Web(timeout=5, retries=0)
    yield AnswerCache(None, web)
    web.close()


def test_a_deb_of_a_dated_suite_is_in_the_dated_archive_last(cache: AnswerCache) -> None:
    mirror = Mirror(address="http://127.0.0.1/debian", origin=SETTINGS)
    folder = Mirror(address="/media/usb", origin=SETTINGS)
    suites = [
        Suite(archive="debian", suite="stable"),
        Suite(archive="debian", suite="stable", snapshot=MOMENT),
        Suite(archive="debian", suite="other", snapshot="20200101T000000Z"),
    ]
    locations = Locations(Mirrors(debian=(mirror,), folders=(folder,)), cache, suites=suites)
    assert locations.mirrors_for(DEB) == (mirror, folder, mirror.at(MOMENT))


def test_a_wheel_is_in_indexes_and_folders(cache: AnswerCache) -> None:
    debian = Mirror(address="http://127.0.0.1/debian", origin=SETTINGS)
    index = Mirror(address="http://127.0.0.1/simple", origin=SETTINGS)
    folder = Mirror(address="/media/usb", origin=SETTINGS)
    locations = Locations(Mirrors(debian=(debian,), python=(index, folder), folders=(folder,)), cache)
    assert locations.mirrors_for(locks.wheel("spam", "1.0")) == (index, folder)


def test_a_wheel_is_not_asked_for_at_pips_own_index_if_the_settings_name_one(cache: AnswerCache) -> None:
    company = Mirror(address="http://127.0.0.1/company", origin=SETTINGS)
    second = Mirror(address="http://127.0.0.1/second", origin=SETTINGS)
    pip = Mirror(address="http://127.0.0.1/simple", origin="pip's default")
    locations = Locations(Mirrors(python=(company, second, pip), private=("acme-*",)), cache)
    assert locations.mirrors_for(locks.wheel("spam", "1.0")) == (company, second)
    assert locations.mirrors_for(locks.wheel("acme-tools", "1.0")) == (company,)
    alone = Locations(Mirrors(python=(pip,), private=("acme-*",)), cache)
    assert alone.mirrors_for(locks.wheel("spam", "1.0")) == (pip,)
    assert alone.mirrors_for(locks.wheel("acme-tools", "1.0")) == ()


def test_a_folder_may_hold_a_deb_under_the_name_that_apt_gives_it(cache: AnswerCache) -> None:
    folder = Mirror(address="/media/usb", origin=SETTINGS)
    names = list(Locations(Mirrors(), cache).locations(folder, DEB))
    assert names[0] == f"/media/usb/{DEB.path}"
    assert f"/media/usb/{DEB.filename}" in names
    assert f"/media/usb/hello_2%3a1.0_{DEB.architecture}.deb" in names


def test_a_path_that_leaves_the_folder_is_no_location(cache: AnswerCache) -> None:
    artifact = Artifact(filename="../b", path="../../a", size=1, sha256=DEB.sha256)
    folder = Mirror(address="/media/usb", origin=SETTINGS)
    assert list(Locations(Mirrors(), cache).locations(folder, artifact)) == []


def test_the_first_page_of_an_index_says_where_its_files_are(cache: AnswerCache) -> None:
    with PackageIndex() as index:
        published = [index.publish(make_wheel(name, "1.0")) for name in ("spam", "eggs")]
        wheels = [
            replace(
                locks.wheel(wheel.name, "1.0"), filename=wheel.filename, path=index.path_of(wheel.filename).lstrip("/")
            )
            for wheel in published
        ]
        mirror = Mirror(address=index.url, origin=SETTINGS)
        locations = Locations(Mirrors(python=(mirror,)), cache)
        assert list(locations.locations(mirror, wheels[0])) == [f"{index.base}/{wheels[0].path}"]
        pages = len(index.requested)
        assert next(locations.locations(mirror, wheels[1])) == f"{index.base}/{wheels[1].path}"
        assert len(index.requested) == pages


def test_a_file_that_its_page_does_not_list_is_missing(cache: AnswerCache) -> None:
    with PackageIndex() as index:
        index.publish(make_wheel("spam", "1.0"))
        mirror = Mirror(address=index.url, origin=SETTINGS)
        locations = Locations(Mirrors(python=(mirror,)), cache)
        with pytest.raises(FetchFailure, match="its page of spam does not list the file") as caught:
            list(locations.locations(mirror, locks.wheel("spam", "2.0")))
    assert caught.value.missing
