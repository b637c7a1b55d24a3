"""The Debian side of a lock with real mirrors, compared with what the real apt-get chooses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from rtbuild.mirror.find import find_mirrors
from rtbuild.mirror.remote import CACHE, MirrorSources
from rtbuild.mirror.sources import Wanted
from rtbuild.platform import parse_platform
from rtbuild.progress import Silent
from rtbuild.recipe.model import DebianLayer, Suite
from rtbuild.recipe.read import read_release
from rtbuild.resolve.debian.keyring import Keyring, debian_keyring
from rtbuild.resolve.debian.packages_file import read_index
from rtbuild.resolve.debian.release_file import read_release_file
from rtbuild.resolve.debian.resolve import resolve_debian
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.process import PipProcess
from rtbuild.settings import Settings, load_settings
from tests.fakes.debian_archive import FakeDeb
from tests.integration.apt_oracle import Apt

ROOT = Path(__file__).parents[2]
AMD64 = parse_platform("linux/amd64")
BULLSEYE = tuple(
    Suite(archive=archive, suite=suite, check_valid_until=False)
    for archive, suite in (
        ("debian", "bullseye"),
        ("debian", "bullseye-updates"),
        ("debian-security", "bullseye-security"),
    )
)
TRIXIE = (
    Suite(archive="debian", suite="trixie", check_valid_until=False),
    Suite(archive="debian-security", suite="trixie-security", check_valid_until=False),
)
ROOTS = (
    "postgresql",
    "build-essential",
    "default-jre-headless",
    "nginx",
    "openssh-server",
    "python3-pip",
    "exim4",
    "apache2 php mariadb-server",
    "openjdk-17-jdk maven",  # alternatives that another package satisfies
    "php-pcov",  # a purely virtual package with equal providers
    "postfix bsd-mailx cron",
    "systemd-sysv network-manager",
    "python3-dev libpq-dev libsasl2-dev unixodbc-dev freetds-dev default-libmysqlclient-dev krb5-user",
    "xfce4",
)

pytestmark = pytest.mark.integration


class FullPool(MirrorSources):
    """Real indexes, and a pool that has every file: apt chooses by the indexes alone, even if a mirror lost files."""

    def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
        head = FakeDeb(name="any").build()[:length]
        return {file.path: head for file in wanted}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(os.environ, ROOT, store=tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def sources(settings: Settings) -> MirrorSources:
    return MirrorSources(find_mirrors(settings), settings.store / CACHE)


@pytest.fixture(scope="module")
def full_pool(settings: Settings) -> LockEnvironment:
    return environment(FullPool(find_mirrors(settings), settings.store / CACHE), settings)


@pytest.fixture(scope="module")
def bullseye(tmp_path_factory: pytest.TempPathFactory, sources: MirrorSources) -> Apt:
    return Apt(tmp_path_factory.mktemp("bullseye"), BULLSEYE, sources)


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory, sources: MirrorSources) -> Apt:
    return Apt(tmp_path_factory.mktemp("trixie"), TRIXIE, sources)


def layer(suites: tuple[Suite, ...], roots: str) -> DebianLayer:
    return DebianLayer(name="all", title="", parent=None, suites=suites, packages=tuple(roots.split()))


def environment(sources: MirrorSources, settings: Settings) -> LockEnvironment:
    return LockEnvironment(sources=sources, pip=PipProcess(), cache=settings.store)


def choice(suites: tuple[Suite, ...], roots: str, environment: LockEnvironment) -> dict[str, str]:
    debs = resolve_debian([layer(suites, roots)], AMD64, environment).debs
    return {deb.name: deb.version for deb in debs}


def test_the_release_has_what_apt_would_install(tmp_path: Path, sources: MirrorSources, settings: Settings) -> None:
    layers = read_release(ROOT, "8.0.0").debian_layers
    ours = resolve_debian(layers, AMD64, environment(sources, settings)).debs
    apt = Apt(tmp_path, layers[0].suites, sources)
    for number, debian_layer in enumerate(layers):
        expected = apt.choice([*(["?essential"] if number == 0 else []), *debian_layer.packages])
        assert {deb.name: deb.version for deb in ours if deb.layer == debian_layer.name} == expected
        apt.install(expected)
    assert all(deb.built > 1_000_000_000 and deb.size > 0 for deb in ours)
    names = {deb.name for deb in ours}
    assert all(set(deb.depends) <= names for deb in ours)
    assert {"dpkg", "apt", "libc6", "git", "python3.9"} <= names


@pytest.mark.parametrize("roots", ROOTS)
def test_apt_chooses_the_same_for_debian_11(roots: str, bullseye: Apt, full_pool: LockEnvironment) -> None:
    assert choice(BULLSEYE, roots, full_pool) == bullseye.choice(["?essential", *roots.split()])


@pytest.mark.parametrize("roots", ["postgresql", "default-jre-headless", "docker.io", "gnome-terminal", "exim4"])
def test_apt_chooses_the_same_for_debian_13(roots: str, trixie: Apt, full_pool: LockEnvironment) -> None:
    assert choice(TRIXIE, roots, full_pool) == trixie.choice(["?essential", *roots.split()])


@pytest.mark.parametrize(
    ("archive", "suite"),
    [
        ("debian", "bullseye"),
        ("debian-security", "bullseye-security"),
        ("debian", "bookworm"),
        ("debian-security", "bookworm-security"),
        ("debian", "trixie"),
        ("debian-security", "trixie-security"),
        ("debian", "testing"),
    ],
)
def test_every_suite_since_debian_11_verifies(archive: str, suite: str, sources: MirrorSources) -> None:
    wanted = Suite(archive=archive, suite=suite, check_valid_until=False)
    release = read_release_file(wanted, sources, keyring=debian_keyring(), progress=Silent())
    assert "main/binary-amd64/Packages.xz" in release.files


def test_one_known_key_of_several_is_enough(sources: MirrorSources) -> None:
    only = [cert for cert in debian_keyring().certificates if "Stable Release Key (11/bullseye)" in str(cert.user_ids)]
    assert len(only) == 1
    keyring = Keyring(tuple(only), "one key")
    assert read_release_file(BULLSEYE[0], sources, keyring=keyring, progress=Silent()).by_hash


def test_an_index_of_58_000_packages(sources: MirrorSources) -> None:
    release = read_release_file(BULLSEYE[0], sources, keyring=debian_keyring(), progress=Silent())
    assert len(read_index(release, "main", AMD64, sources, progress=Silent()).names) > 58_000
