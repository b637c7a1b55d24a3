"""The folders that every layer repeats."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.derivations.folders import known_folders
from rtbuild.recipe.model import FilesLayer, InstalledFile
from tests.fakes.four_layers import AIRFLOW, BASE, PYTHON, changed, keys, lock, release

HOME = replace(BASE, files=(InstalledFile(path="/home/astro", mode=0o775, uid=50000),))
UPPER = FilesLayer(name="upper", title="", files=(InstalledFile(path="/srv", mode=0o700),))


def test_folders_of_the_layers_below_and_of_debian_are_known() -> None:
    folders = known_folders(release(HOME, PYTHON, AIRFLOW, UPPER), AIRFLOW)
    assert folders["home/astro"] == (0o775, 50000, 0)
    assert folders["tmp"] == (0o1777, 0, 0)
    assert "srv" not in folders
    assert known_folders(release(HOME, UPPER), UPPER)["srv"] == (0o700, 0, 0)


def test_plain_folders_need_not_be_known() -> None:
    plain = replace(HOME, files=(InstalledFile(path="/tmp", mode=0o755), InstalledFile(path="/etc/motd", content="")))
    assert {"tmp", "etc/motd"}.isdisjoint(known_folders(release(plain), plain))


def test_they_count_for_the_layers_made_without_the_layers_below() -> None:
    before, after = release(BASE, PYTHON, AIRFLOW, UPPER), release(HOME, PYTHON, AIRFLOW, UPPER)
    assert changed(keys(lock(), before), keys(lock(), after)) == {"base-os", "airflow", "upper"}
