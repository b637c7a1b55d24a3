"""Whether the layers of an image fit on one another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtbuild.errors import BuildError
from rtbuild.layers.stack import check_stack
from rtbuild.oci.folders import LayerFolders
from rtbuild.recipe.model import FilesLayer, InstalledFile, Layer
from tests.fakes.four_layers import AIRFLOW, BASE, PYTHON

MINE = FilesLayer(name="mine", title="Mine", files=())
PLAIN = (0o755, 0, 0)
BELOW = LayerFolders(
    folders={"usr": PLAIN, "usr/local": (0o2775, 0, 50), "run": PLAIN, "var": PLAIN},
    links={"var/run": "/run", "bin": "usr/bin"},
)


def folders(**attributes: tuple[int, int, int]) -> LayerFolders:
    """Return the folders of a layer; `__` stands for a slash."""
    return LayerFolders(folders={name.replace("__", "/"): value for name, value in attributes.items()}, links={})


def check(layer: Layer, own: LayerFolders) -> str:
    """Return the problem with `layer` on the layer `BELOW`, and its hint; nothing if it fits."""
    try:
        check_stack([(BASE, BELOW), (layer, own)])
    except BuildError as error:
        return f"{error.brief} | {error.hint}"
    return ""


@pytest.mark.parametrize("layer", [AIRFLOW, MINE])
def test_folders_as_they_are_below_fit(layer: Layer) -> None:
    assert check(layer, folders(usr=PLAIN, usr__local=(0o2775, 0, 50), opt=(0o700, 7, 7))) == ""


def test_a_path_that_leads_through_a_link_is_refused() -> None:
    assert check(MINE, folders(var=PLAIN, var__run=PLAIN, var__run__airflow=PLAIN)) == (
        "layer mine: /var/run is a symbolic link to /run in the layer base-os, not a folder"
        " | write /run in place of /var/run in recipes/layers/mine.toml"
    )
    assert "symbolic link to /usr/bin in the layer base-os" in check(AIRFLOW, folders(bin=PLAIN))


def test_other_attributes_than_below_must_be_asked_for() -> None:
    own = folders(usr=PLAIN, usr__local=PLAIN)
    assert check(MINE, own) == (
        "layer mine: /usr/local has mode 2775, owner 0 and group 50 in the layer base-os"
        " | list it under [[directories]] in recipes/layers/mine.toml with these attributes"
    )
    assert check(replace(MINE, files=(InstalledFile(path="/usr/local", mode=0o755),)), own) == ""


def test_a_link_in_place_of_a_folder_is_refused() -> None:
    assert check(MINE, LayerFolders(folders={}, links={"usr/local": "/opt"})) == (
        "layer mine: the symbolic link /usr/local would replace a folder of the layer base-os"
        " | put what it leads to into /usr/local, or give the link another path"
    )


def test_a_debian_layer_was_made_on_the_layers_below() -> None:
    assert check(PYTHON, LayerFolders(folders={"usr": (0o700, 0, 0), "bin": PLAIN}, links={"usr/local": "/opt"})) == ""
    # What it made of them counts for the layers above.
    replaced = LayerFolders(folders={"var/run": PLAIN}, links={"usr/local": "/opt"})
    check_stack([(BASE, BELOW), (PYTHON, replaced), (MINE, folders(var__run=PLAIN))])
    with pytest.raises(BuildError, match="/usr/local is a symbolic link to /opt in the layer python"):
        check_stack([(BASE, BELOW), (PYTHON, replaced), (MINE, folders(usr__local=PLAIN))])
