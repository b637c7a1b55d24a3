"""Which mirrors are found, in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from rtbuild.mirror.apt import apt_mirrors
from rtbuild.mirror.find import SETTINGS, Mirrors, find_mirrors, pip_index
from rtbuild.mirror.site import Mirror
from rtbuild.settings import load_settings


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_apt_sources_of_both_forms(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/apt/sources.list",
        "# deb http://127.0.0.1/commented stable main\n"
        "deb http://127.0.0.1/plain/ stable main  # a remark\n"
        "deb [arch=amd64 signed-by=/a b.gpg] https://127.0.0.1/options stable main\n"
        "deb-src http://127.0.0.1/source stable main\n"
        "deb cdrom:[Disc]/ stable main\n"
        "deb mirror+file:/etc/apt/mirrors.txt stable main\n"
        "deb copy:/srv/copied ./\n"
        "nonsense\n",
    )
    write(
        tmp_path / "etc/apt/sources.list.d/b.sources",
        "Types: deb deb-src\n# URIs: http://127.0.0.1/commented\nURIs: http://127.0.0.1/one\n http://127.0.0.1/two/\n"
        "Suites: stable\nComponents: main\n\n"
        "Types: deb\nURIs: http://127.0.0.1/off\nEnabled: no\n\n"
        "Types: deb-src\nURIs: http://127.0.0.1/source\n \n"
        "types: deb\nuris: file:/srv/folder http://127.0.0.1/plain\n",
    )
    write(tmp_path / "etc/apt/sources.list.d/a.list", "deb http://127.0.0.1/listed stable main\n")
    write(tmp_path / "etc/apt/sources.list.d/a.list.save", "deb http://127.0.0.1/saved stable main\n")
    found, unused = apt_mirrors(tmp_path)
    assert [mirror.note for mirror in unused] == ["not used: rtbuild cannot read cdrom: sources"]
    assert [(mirror.address, mirror.origin) for mirror in found] == [
        ("http://127.0.0.1/plain", "/etc/apt/sources.list"),
        ("https://127.0.0.1/options", "/etc/apt/sources.list"),
        ("/srv/copied", "/etc/apt/sources.list"),
        ("http://127.0.0.1/listed", "/etc/apt/sources.list.d/a.list"),
        ("http://127.0.0.1/one", "/etc/apt/sources.list.d/b.sources"),
        ("http://127.0.0.1/two", "/etc/apt/sources.list.d/b.sources"),
        ("file:/srv/folder", "/etc/apt/sources.list.d/b.sources"),
        ("http://127.0.0.1/plain", "/etc/apt/sources.list.d/b.sources"),
    ]


def test_a_machine_without_apt_has_no_mirrors(tmp_path: Path) -> None:
    assert apt_mirrors(tmp_path) == ([], [])


def test_pips_own_default_is_the_last_answer(tmp_path: Path) -> None:
    mirror = pip_index({}, root=tmp_path, prefix=tmp_path)
    assert mirror == Mirror(address=PyPI.simple_url.rstrip("/"), origin="pip's default")


def test_a_later_pip_configuration_wins(tmp_path: Path) -> None:
    home, prefix = tmp_path / "home", tmp_path / "prefix"
    environment = {"HOME": str(home)}

    def found() -> str:
        return pip_index(environment, root=tmp_path, prefix=prefix).address

    write(tmp_path / "etc/xdg/pip/pip.conf", "[global]\nindex-url = http://127.0.0.1/xdg\n")
    assert found() == "http://127.0.0.1/xdg"
    write(tmp_path / "etc/pip.conf", "[global]\nindex_url = http://127.0.0.1/global/\n")
    assert found() == "http://127.0.0.1/global"
    write(home / ".pip/pip.conf", "[global]\nextra-index-url = http://127.0.0.1/extra\n")
    assert found() == "http://127.0.0.1/global"
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = http://127.0.0.1/user\n")
    assert found() == "http://127.0.0.1/user"
    write(
        prefix / "pip.conf", "[global]\nindex-url = http://127.0.0.1/site\n[install]\nindex-url = http://127.0.0.1/x\n"
    )
    assert found() == "http://127.0.0.1/x"
    environment["PIP_CONFIG_FILE"] = str(tmp_path / "chosen.conf")
    write(tmp_path / "chosen.conf", "[global]\nindex-url = http://127.0.0.1/chosen\n")
    assert found() == "http://127.0.0.1/chosen"
    environment["PIP_INDEX_URL"] = "http://127.0.0.1/variable/"
    assert found() == "http://127.0.0.1/variable"


def test_pip_with_an_empty_configuration_reads_no_file(tmp_path: Path) -> None:
    write(tmp_path / "etc/pip.conf", "[global]\nindex-url = http://127.0.0.1/global\n")
    mirror = pip_index({"PIP_CONFIG_FILE": "/dev/null"}, root=tmp_path, prefix=tmp_path)
    assert mirror.origin == "pip's default"


def test_a_broken_pip_configuration_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "etc/pip.conf", "index-url = without a section\n")
    assert pip_index({}, root=tmp_path, prefix=tmp_path).origin == "pip's default"


def test_settings_come_first_and_their_folders_serve_both_kinds(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/apt/sources.list",
        "deb http://127.0.0.1/debian stable main\ndeb http://127.0.0.1/own stable main\n",
    )
    settings = load_settings(
        {"PIP_INDEX_URL": "http://127.0.0.1/simple"},
        tmp_path,
        debian_mirrors=("http://127.0.0.1/own", str(tmp_path / "debs")),
        python_indexes=(str(tmp_path / "wheels"),),
    )
    mirrors = find_mirrors(settings, root=tmp_path, prefix=tmp_path)
    addresses = [mirror.address for mirror in mirrors.debian]
    assert addresses == ["http://127.0.0.1/own", str(tmp_path / "debs"), "http://127.0.0.1/debian"]
    assert mirrors.debian[0].origin == SETTINGS
    assert [mirror.folder for mirror in mirrors.folders] == [tmp_path / "debs", tmp_path / "wheels"]
    assert [mirror.address for mirror in mirrors.indexes] == ["http://127.0.0.1/simple"]


def test_an_index_of_the_settings_is_asked_alone() -> None:
    chosen = Mirror(address="http://127.0.0.1/company", origin=SETTINGS)
    public = Mirror(address="http://127.0.0.1/public", origin="pip's default")
    assert Mirrors(python=(chosen, public)).indexes == (chosen,)


def test_the_mirror_of_the_archives_name_goes_first_but_settings_before_all() -> None:
    chosen = Mirror(address="http://127.0.0.1/mine", origin=SETTINGS)
    second = Mirror(address="http://127.0.0.1/debian-security/", origin=SETTINGS)
    other = Mirror(address="http://127.0.0.1/debian", origin="a")
    fitting = Mirror(address="http://127.0.0.1/debian-security", origin="a")
    dated = Mirror(address="http://127.0.0.1/debian-security/20230501T000000Z", origin="a")
    mirrors = Mirrors(debian=(other, chosen, second, fitting, dated))
    assert mirrors.debian_for("debian-security") == (chosen, second, fitting, dated, other)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1/archive", "http://127.0.0.1/archive/20230501T000000Z"),
        ("http://127.0.0.1/archive/20200101T120000Z", "http://127.0.0.1/archive/20230501T000000Z"),
        ("/media/archive", "/media/archive/20230501T000000Z"),
    ],
)
def test_a_mirror_at_a_moment(address: str, expected: str) -> None:
    assert Mirror(address=address, origin="").at("20230501T000000Z").address == expected


def test_a_password_is_not_shown() -> None:
    assert Mirror(address="https://me:secret@127.0.0.1:8080/debian", origin="").name == "https://127.0.0.1:8080/debian"


def test_private_packages_are_asked_for_at_the_first_index_only() -> None:
    first, second = (Mirror(address=f"http://127.0.0.1/{name}", origin=SETTINGS) for name in ("first", "second"))
    pip = Mirror(address="http://127.0.0.1/pip", origin="pip's default")
    known = Mirrors(python=(first, second, pip), private=("acme-*", "secret"))
    assert known.indexes_for("flask") == (first, second)
    assert known.indexes_for("acme-tools") == known.indexes_for("secret") == (first,)
    assert known.indexes_for("acme") == (first, second)
    alone = Mirrors(python=(pip,), private=("acme-*",))
    assert (alone.indexes_for("acme-tools"), alone.indexes_for("flask")) == ((), (pip,))
