"""Reading apt's sources, proxies and logins as apt does."""

from __future__ import annotations

import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from rtbuild.mirror.apt import apt_mirrors, apt_options
from rtbuild.mirror.connections import DIRECT
from rtbuild.mirror.find import find_mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.remote import MirrorSources
from rtbuild.mirror.site import Mirror
from rtbuild.recipe.model import Suite
from rtbuild.settings import load_settings
from tests.fakes.debian_archive import DebianArchive, FakeDeb
from tests.fakes.serving import serve_with


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(root: Path, address: str = "http://archive.invalid/debian") -> Mirror:
    """Return the mirror in `root` that apt's source with this address is."""
    write(root / "etc/apt/sources.list", f"deb {address} stable main\n")
    (mirror,), unused = apt_mirrors(root)
    assert unused == []
    return mirror


@pytest.fixture(autouse=True)
def without_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.mark.parametrize(
    ("options", "address", "proxy"),
    [
        ("", "http://archive.invalid/debian", None),
        ('Acquire::http::Proxy "http://127.0.0.1:3142";', "http://archive.invalid/debian", "http://127.0.0.1:3142"),
        ('Acquire { http { Proxy "http://127.0.0.1:3142"; }; };', "http://archive.invalid/", "http://127.0.0.1:3142"),
        ('Acquire::http::Proxy "http://127.0.0.1:3142";', "https://archive.invalid/debian", "http://127.0.0.1:3142"),
        ('Acquire::https::Proxy "http://127.0.0.1:3142";', "http://archive.invalid/debian", None),
        (
            'Acquire::http::Proxy "http://a:1"; Acquire::http::Proxy::archive.invalid "http://b:2/";',
            "http://archive.invalid/debian",
            "http://b:2/",
        ),
        (
            'Acquire::http::Proxy "http://a:1"; Acquire::http::Proxy::archive.invalid "DIRECT";',
            "http://archive.invalid/debian",
            DIRECT,
        ),
        ('Acquire::http::Proxy "http://a:1";', "file:/srv/debian", None),
    ],
)
def test_the_proxy_is_the_one_that_apt_uses(tmp_path: Path, options: str, address: str, proxy: str | None) -> None:
    write(tmp_path / "etc/apt/apt.conf.d/01proxy", options + "\n")
    mirror = found(tmp_path, address)
    assert (mirror.proxy, mirror.note) == (proxy, "")


def test_no_proxy_of_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "archive.invalid")
    write(tmp_path / "etc/apt/apt.conf", 'Acquire::http::Proxy "http://127.0.0.1:3142";\n')
    assert found(tmp_path).proxy == DIRECT


@pytest.mark.parametrize(
    ("option", "note"),
    [
        (
            'Acquire::http::Proxy "socks5h://robot:hunter2@127.0.0.1:9050";',
            "apt's proxy socks5h://127.0.0.1:9050 is not used",
        ),
        (
            'Acquire::http::Proxy-Auto-Detect "/usr/bin/auto-apt-proxy";',
            "apt asks a program for its proxy, which rtbuild does not run: set http_proxy and https_proxy instead",
        ),
    ],
)
def test_a_proxy_that_is_not_used_is_said(tmp_path: Path, option: str, note: str) -> None:
    write(tmp_path / "etc/apt/apt.conf", option + "\n")
    mirror = found(tmp_path)
    assert mirror.proxy is None
    assert mirror.note.startswith(note)


@pytest.mark.parametrize(
    ("entry", "address", "login"),
    [
        ("machine archive.invalid login robot password p@ss/w:rd", "https://archive.invalid/debian", True),
        ("machine archive.invalid login robot password p@ss/w:rd", "http://archive.invalid/debian", False),
        ("machine http://archive.invalid\n login robot\n password p@ss/w:rd", "http://archive.invalid/debian", True),
        ("machine http://archive.invalid login robot password p@ss/w:rd", "https://archive.invalid/debian", False),
        ("machine archive.invalid/debian login robot password p@ss/w:rd", "https://archive.invalid/debian", True),
        ("machine archive.invalid/deb login robot password p@ss/w:rd", "https://archive.invalid/debian", True),
        ("machine archive.invalid/ubuntu login robot password p@ss/w:rd", "https://archive.invalid/debian", False),
        ("machine archive.invalid login robot password p@ss/w:rd", "https://archive.invalid:8443/debian", True),
        ("machine archive.invalid:8443 login robot password p@ss/w:rd", "https://archive.invalid:8443/debian", True),
        ("machine archive.invalid:9 login robot password p@ss/w:rd", "https://archive.invalid:8443/debian", False),
        ("machine other.invalid login robot password p@ss/w:rd", "https://archive.invalid/debian", False),
        ("machine archive.inval login robot password p@ss/w:rd", "https://archive.invalid/debian", False),
        ("# machine archive.invalid login robot password p@ss/w:rd", "https://archive.invalid/debian", False),
    ],
)
def test_logins_are_those_of_auth_conf(tmp_path: Path, entry: str, address: str, login: bool) -> None:
    write(tmp_path / "etc/apt/auth.conf.d/a.conf", f"machine elsewhere.invalid login x password y\n{entry}\n")
    mirror = found(tmp_path, address)
    assert mirror.name == address
    scheme, _, rest = address.partition("://")
    assert mirror.address == (f"{scheme}://robot:p%40ss%2Fw%3Ard@{rest}" if login else address)


def test_a_login_in_the_address_wins(tmp_path: Path) -> None:
    write(tmp_path / "etc/apt/auth.conf", "machine archive.invalid login robot password x\n")
    assert found(tmp_path, "https://me:own@archive.invalid/debian").address == "https://me:own@archive.invalid/debian"


def test_lists_of_mirrors_are_read_and_other_kinds_of_sources_are_named(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/apt/sources.list",
        "deb mirror+file:/etc/apt/mirrors.txt stable main\ndeb tor+http://x.invalid/ stable main\n",
    )
    write(tmp_path / "etc/apt/mirrors.txt", "# ours\nhttp://a.invalid/debian/\tpriority:1\nfile:/srv/debian\n")
    write(tmp_path / "etc/apt/sources.list.d/not read.list", "deb http://b.invalid/debian stable main\n")
    write(tmp_path / "etc/apt/sources.list.d/.hidden.disabled", "deb http://c.invalid/debian stable main\n")
    usable, unused = apt_mirrors(tmp_path)
    assert [(mirror.address, mirror.origin) for mirror in usable] == [
        ("http://a.invalid/debian", "/etc/apt/mirrors.txt"),
        ("file:/srv/debian", "/etc/apt/mirrors.txt"),
    ]
    assert [(mirror.address, mirror.note) for mirror in unused] == [
        ("tor+http://x.invalid", "not used: rtbuild cannot read tor+http: sources")
    ]


def test_apt_itself_reads_the_same_sources(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/apt/sources.list",
        "deb [arch=amd64] http://a.invalid/debian stable main # remark\n#deb http://off.invalid/ stable main\n"
        "deb-src http://source.invalid/debian stable main\ndeb\thttp://b.invalid/x/  stable  main contrib\n",
    )
    write(
        tmp_path / "etc/apt/sources.list.d/one.sources",
        "Types: deb deb-src\nURIs: http://c.invalid/debian http://d.invalid/debian\n"
        "Suites: stable\nComponents: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: stable\nComponents: main\n",
    )
    write(tmp_path / "etc/apt/sources.list.d/two.list", "deb http://e.invalid/debian stable main\n")
    write(tmp_path / "etc/apt/sources.list.d/odd name.list", "deb http://off.invalid/debian stable main\n")
    write(tmp_path / "etc/apt/sources.list.d/one.sources.save", "Types: deb\nURIs: http://off.invalid/debian\n")
    write(tmp_path / "apt.conf", f'Dir "{tmp_path}"; APT::Architecture "amd64"; Dir::State::status "/dev/null";\n')
    for folder in ("var/lib/apt/lists/partial", "etc/apt/preferences.d"):
        (tmp_path / folder).mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(tmp_path / "apt.conf")}
    command = ["apt-get", "indextargets", "--no-release-info", "--format", "$(CREATED_BY) $(REPO_URI)"]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    addresses = {line.split()[1].rstrip("/") for line in lines if line.startswith("Packages ")}
    assert addresses == {mirror.address for mirror in apt_mirrors(tmp_path)[0]}
    assert len(addresses) == 5


def test_the_files_are_where_apt_says(tmp_path: Path) -> None:
    write(tmp_path / "etc/apt/apt.conf", 'Dir::Etc::sourcelist "other.list"; Dir::Etc::sourceparts "/dev/null";\n')
    write(tmp_path / "etc/apt/other.list", "deb http://a.invalid/debian stable main\n")
    write(tmp_path / "etc/apt/sources.list", "deb http://off.invalid/debian stable main\n")
    write(tmp_path / "etc/apt/sources.list.d/off.list", "deb http://off.invalid/debian stable main\n")
    assert [mirror.address for mirror in apt_mirrors(tmp_path)[0]] == ["http://a.invalid/debian"]


def test_without_apt_the_sources_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert apt_options(tmp_path) == {}
    assert found(tmp_path).address == "http://archive.invalid/debian"


def test_a_pipe_in_place_of_a_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/apt/sources.list.d/pipe.list")
    assert found(tmp_path).address == "http://archive.invalid/debian"


def test_a_source_is_asked_through_apts_own_proxy(tmp_path: Path) -> None:
    archive = DebianArchive(tmp_path / "debian")
    archive.publish("stable", [FakeDeb(name="hello")])
    seen: list[str] = []

    def proxied(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        content = (archive.root / handler.path.partition("/debian/")[2]).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    with serve_with(proxied) as proxy:
        write(tmp_path / "etc/apt/apt.conf.d/01proxy", f'Acquire::http::Proxy "{proxy}";\n')
        write(tmp_path / "etc/apt/sources.list", "deb http://archive.invalid/debian stable main\n")
        settings = load_settings({"HOME": str(tmp_path)}, tmp_path)
        mirrors = find_mirrors(settings, root=tmp_path, prefix=tmp_path)
        web = Web(timeout=5, retries=0)
        sources = MirrorSources(mirrors, tmp_path / "cache", web=web)
        answers = list(sources.debian_index(Suite(archive="debian", suite="stable"), "InRelease"))
        web.close()
    assert [answer.mirror for answer in answers] == ["http://archive.invalid/debian"]
    assert seen == ["http://archive.invalid/debian/dists/stable/InRelease"]
