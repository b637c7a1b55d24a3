"""What recipes say, as values."""

from __future__ import annotations

import pytest

from rtbuild.errors import RecipeError
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import DebianLayer, FilesLayer, LocalPackage, PythonLayer, Suite
from tests.fakes import releases
from tests.fakes.patches import diff, patch

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]
BULLSEYE, SECURITY = Suite(archive="debian", suite="bullseye"), Suite(archive="debian-security", suite="bullseye")
PACKAGE = LocalPackage(
    name="gate",
    version="1.0",
    folder="recipes/layers/gate/package",
    requires_python=None,
    dependencies=(),
    extras=(),
    build_requires=(),
    files=(),
)
BASE = DebianLayer(name="base-os", title="", parent=None, suites=(BULLSEYE, SECURITY), packages=())
TOOLS = DebianLayer(name="tools", title="", parent="base-os", suites=(SECURITY, BULLSEYE), packages=())
GATE = PythonLayer(name="gate", title="", roots=("gate",), packages=(PACKAGE,))
FILES = FilesLayer(name="files", title="", files=())


def test_the_layers_of_a_release_by_kind() -> None:
    release = releases.release(layers=(BASE, TOOLS, GATE, FILES))
    assert (release.debian_layers, release.python_layers) == ((BASE, TOOLS), (GATE,))
    assert release.suites == (BULLSEYE, SECURITY)
    assert release.packages == (PACKAGE,)


def test_a_platform_that_a_release_does_not_have() -> None:
    release = releases.release(platforms=(AMD64,))
    release.require_platform(AMD64)
    with pytest.raises(RecipeError) as caught:
        release.require_platform(ARM64)
    assert caught.value.brief == "release 8.0.0 has no image for linux/arm64"
    assert caught.value.hint == "its platforms are: linux/amd64"


def test_which_version_a_patch_applies_to() -> None:
    edit = patch(diff("demo.py", "1\n", "2\n"), version="1.0")
    assert edit.misfit("1.0") is edit.misfit("1.0.0") is None
    assert edit.misfit("1.1") == (
        "is for demo 1.0, but the release has 1.1",
        "make another patch for that version, or remove this one from the release's patches",
    )
