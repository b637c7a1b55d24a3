"""The `mirrors` verb, with mirrors on 127.0.0.1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.errors import RecipeError
from rtbuild.mirror.find import SETTINGS, Mirrors
from rtbuild.mirror.site import Mirror
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.settings import Settings
from rtbuild.verbs.mirrors import mirrors, probe_mirrors, wanted_suites
from rtbuild.workspace import Workspace
from tests.fakes.debian_archive import DebianArchive, FakeDeb, Fault
from tests.fakes.package_index import PackageIndex, make_wheel
from tests.fakes.serving import only_loopback
from tests.fakes.workspaces import ENGINE, put, write_workspace

STABLE = Suite(archive="debian", suite="stable")


@pytest.fixture
def archive(tmp_path: Path) -> DebianArchive:
    archive = DebianArchive(tmp_path / "debian")
    archive.publish("stable", [FakeDeb(name="hello")])
    return archive


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path / "store", engine_dir=tmp_path / "engine", retries=0)


def keyring_of(archive: DebianArchive) -> Keyring:
    return Keyring.from_bytes(archive.key.certificate, name="the key of the test")


def test_reports_say_what_each_mirror_serves(tmp_path: Path, archive: DebianArchive, settings: Settings) -> None:
    (tmp_path / "usb").mkdir()
    foreign = DebianArchive(tmp_path / "foreign" / "debian")
    foreign.publish("stable", [FakeDeb(name="hello")])
    with archive.serve() as debian, archive.serve() as login, foreign.serve() as other, archive.serve() as empty:
        login.misbehave("*", Fault.HTML)
        empty.misbehave("*", Fault.NOT_FOUND)
        addresses = (debian.url, login.url, other.url, empty.url, "http://127.0.0.1:9", str(tmp_path / "usb"))
        known = Mirrors(debian=tuple(Mirror(address=address, origin="/etc/apt/sources.list") for address in addresses))
        suites = [STABLE, Suite(archive="debian-security", suite="stable-security")]
        reports = probe_mirrors(known, suites, settings, keyring=keyring_of(archive))
    assert [report.address for report in reports] == list(addresses)
    assert {(report.kind, report.origin) for report in reports} == {("debian", "/etc/apt/sources.list")}
    assert [report.serves for report in reports] == [("stable",), (), (), (), (), ("files by name",)]
    problems = [report.problem or "" for report in reports]
    assert problems[0] == problems[5] == ""
    assert problems[1].startswith("stable: ")
    assert "HTML" in problems[1]
    assert problems[2].startswith("stable: ")
    assert "the key of the test" in problems[2]
    assert problems[3] == "has none of the suites"
    assert problems[4].count("cannot be reached") == 1, "an unreachable mirror is asked once"


def test_reports_say_whether_an_index_gives_upload_times(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "usb").mkdir()
    with PackageIndex() as index, PackageIndex() as old, PackageIndex() as empty:
        for published in (index, old):
            published.publish(make_wheel("pip", "26.0"))
        old.without_upload_times = True
        addresses = (index.url, old.url, empty.url, str(tmp_path / "usb"))
        known = Mirrors(python=tuple(Mirror(address=address, origin="pip's default") for address in addresses))
        reports = probe_mirrors(known, [], settings, keyring=Keyring((), name="no keys"))
    assert [report.kind for report in reports] == ["python"] * 4
    assert [report.serves for report in reports] == [
        ("index with upload times", "files"),
        ("files",),
        (),
        ("files by name",),
    ]
    problems = [report.problem or "" for report in reports]
    assert problems[0] == problems[3] == ""
    assert "no upload times" in problems[1]
    assert "404" in problems[2]


def test_an_index_that_is_never_used_is_not_asked(settings: Settings) -> None:
    with PackageIndex() as named, PackageIndex() as public:
        for published in (named, public):
            published.publish(make_wheel("pip", "26.0"))
        mirrors = (Mirror(address=named.url, origin=SETTINGS), Mirror(address=public.url, origin="pip's default"))
        reports = probe_mirrors(Mirrors(python=mirrors), [], settings, keyring=Keyring((), name="no keys"))
        assert public.requested == []
    assert [report.serves for report in reports] == [("index with upload times", "files"), ()]
    assert reports[1].problem == "not asked, because the settings name an index"


def test_a_dated_suite_is_asked_of_the_dated_archive(tmp_path: Path, settings: Settings) -> None:
    moment = "20230501T000000Z"
    archive = DebianArchive(tmp_path / "debian" / moment)
    archive.publish("stable", [FakeDeb(name="hello")])
    known = Mirrors(debian=(Mirror(address=str(tmp_path / "debian"), origin=SETTINGS),))
    suites = [STABLE, Suite(archive="debian", suite="stable", snapshot=moment)]
    (report,) = probe_mirrors(known, suites, settings, keyring=keyring_of(archive))
    assert report.serves == (f"stable at {moment}",)


def test_the_suites_are_those_of_a_release_or_of_every_recipe(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/engines/default.toml", ENGINE)
    workspace = Workspace(root=root)
    of_release = wanted_suites(workspace, "8.0")
    assert [suite.suite for suite in of_release] == ["bullseye"]
    assert [suite.suite for suite in wanted_suites(workspace)] == ["bullseye", "trixie", "bookworm"]
    with pytest.raises(RecipeError, match="unknown release"):
        wanted_suites(workspace, "9.0")


def test_the_verb_asks_the_mirrors_of_the_settings_and_trusts_only_debians_keys(
    tmp_path: Path, archive: DebianArchive, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_loopback(monkeypatch)
    archive.publish("bullseye", [FakeDeb(name="hello")])
    workspace = Workspace(root=write_workspace(tmp_path / "workspace"))
    with archive.serve() as server:
        chosen = replace(settings, debian_mirrors=(server.url,))
        first, *others = mirrors(workspace, "8.0", settings=chosen)
    assert (first.address, first.origin, first.serves) == (server.url, SETTINGS, ())
    assert "signature does not verify" in (first.problem or "")
    assert not any(report.serves for report in others)


def test_reports_name_proxies_and_sources_that_are_not_used(settings: Settings) -> None:
    through = Mirror(
        address="http://archive.invalid/debian", origin="apt", proxy="http://me:pw@127.0.0.1:9", note="a note"
    )
    unused = Mirror(address="cdrom:[x]", origin="apt", note="not used: rtbuild cannot read cdrom: sources")
    known = Mirrors(debian=(through,), unused=(unused,))
    first, last = probe_mirrors(known, [STABLE], settings, keyring=Keyring((), name="none"))
    assert first.proxy == "http://127.0.0.1:9"
    assert (first.problem or "").endswith("; a note")
    assert (last.address, last.serves, last.problem) == (
        "cdrom:[x]",
        (),
        "not used: rtbuild cannot read cdrom: sources",
    )
