"""`rtbuild size` of the real release: what it says is what lies in the image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtbuild.engine.containers import Mount
from tests.integration.conftest import BuiltImage, FirstBuild

pytestmark = pytest.mark.integration

INSIDE = Mount(source=Path(__file__).parent / "inside", target="/inside")


def test_packages_have_the_sizes_of_their_files(first_build: FirstBuild, image: BuiltImage, tmp_path: Path) -> None:
    page = tmp_path / "size.html"
    answer = first_build.command.run("size", "8.0", "--json", "--html", str(page)).succeeded().document
    archives = {layer["name"]: layer["archive"] for layer in answer["layers"]}
    assert archives == {layer["name"]: layer["size"] for layer in first_build.answer["layers"]}

    told = {
        package["name"]: package["size"]
        for layer in answer["layers"]
        for package in layer["packages"]
        if package["kind"] == "python"
    }
    outcome = image.engine.run(image.reference, ("python3", "/inside/package_sizes.py"), timeout=300, mounts=[INSIDE])
    assert outcome.exit_code == 0, outcome.stderr.decode()
    assert told == json.loads(outcome.text)
    assert set(told) == {one.name for one in image.lock.pythons}
    assert "pyarrow" in page.read_text()
