"""Reading local packages, and what is wrong with those that cannot be locked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.recipe.model import LocalPackage
from rtbuild.recipe.read import read_release
from tests.fakes.packages import FOLDER, LAYER, MODULE, PYPROJECT, write_package, write_workspace_with_package
from tests.fakes.workspaces import RELEASE, put, refusal


def read(root: Path) -> LocalPackage:
    (package,) = read_release(root, "8.0.0").packages
    return package


def test_the_metadata_of_a_package(tmp_path: Path) -> None:
    package = read(write_workspace_with_package(tmp_path, pyproject=PYPROJECT.replace('"1.0.0"', '"v1.0.0-RC1"')))
    assert (package.name, package.version, package.folder) == ("gate-keeper", "1.0.0rc1", FOLDER)
    assert package.requires_python == ">=3.9"
    assert package.dependencies == ("spam>=1", "lantern")
    assert package.extras == (("night", ("owl; os_name == 'posix'",)),)
    assert package.build_requires == ("setuptools>=64", "wheel")


def test_only_files_that_builds_read_belong_to_it(tmp_path: Path) -> None:
    package = read(write_workspace_with_package(tmp_path))
    assert [(file.path, file.executable) for file in package.files] == [
        ("README.md", False),
        ("pyproject.toml", False),
        ("src/gate_keeper/__init__.py", False),
        ("src/gate_keeper/data/bell", True),
    ]
    for file in package.files:
        content = (tmp_path / FOLDER / file.path).read_bytes()
        assert (file.content, file.sha256) == (content, sha256_bytes(content))


def test_a_recipe_may_say_which_files_belong_to_it(tmp_path: Path) -> None:
    layer = LAYER + 'include = ["*.toml", "README.md", "docs", "src"]\nexclude = ["data"]\n'
    package = read(write_workspace_with_package(tmp_path, layer=layer))
    assert [file.path for file in package.files] == [
        "README.md",
        "docs/index.md",
        "pyproject.toml",
        "src/gate_keeper/__init__.py",
        "src/gate_keeper/tests/test_knock.py",
    ]


def test_a_package_is_a_root_of_its_layer_and_a_requirement_of_the_release(tmp_path: Path) -> None:
    release = read_release(write_workspace_with_package(tmp_path), "8.0.0")
    assert release.python_layers[-1].roots == ("gate-keeper",)
    assert release.requirements[-1] == "gate-keeper==1.0.0"
    inputs = dict(release.inputs)
    for file in release.packages[0].files:
        assert inputs[f"{FOLDER}/{file.path}"] == file.sha256


def test_the_layer_may_also_be_below_the_one_that_holds_the_rest(tmp_path: Path) -> None:
    root = write_workspace_with_package(tmp_path)
    release = root / "recipes/releases/8.0.0.toml"
    release.write_text(release.read_text().replace('"providers", "gate"', '"gate", "providers"'))
    assert [layer.name for layer in read_release(root, "8.0.0").python_layers] == ["airflow", "gate", "providers"]


@pytest.mark.parametrize(
    ("old", "new", "problem", "hint"),
    [
        (
            'version = "1.0.0"',
            'dynamic = ["version"]',
            "project.dynamic[0]: version is left to the build, but the lock needs it",
            "set version in [project]",
        ),
        (
            'dependencies = ["spam>=1", "lantern"]',
            'dynamic = ["readme", "dependencies"]',
            "project.dynamic[1]: dependencies is left to the build, but the lock needs it",
            "set dependencies in [project]",
        ),
        ('version = "1.0.0"', "", "project.version: is missing, expected a string", None),
        ('"1.0.0"', '"one"', "project.version: 'one': not a version (PEP 440)", None),
        ("Gate_Keeper", "-gate", "project.name: '-gate': not a Python package name", None),
        (">=3.9", "=>3.9", "project.requires-python: '=>3.9': not a version specifier set (PEP 440)", None),
        (
            '"lantern"',
            '"lantern @ file:///srv/lantern"',
            "project.dependencies[1]: 'lantern @ file:///srv/lantern': a requirement must name a package and versions",
            None,
        ),
        ("owl;", "owl;;", "project.optional-dependencies.Night[0]: ", None),
        ("[project", "[tool.other", "project: is missing, expected a table", None),
        ("[build-system]", "[build]", "build-system: is missing, expected a table", None),
        (
            'name = "Gate_Keeper"',
            'name = "Gate_Keeper"\nreadme = "LIESMICH.md"',
            "project.readme: LIESMICH.md is not included in the package",
            "add the file, or list it in 'include' of the layer's [[packages]]",
        ),
        ("[project]", "[project", "is not valid TOML", None),
    ],
)
def test_trouble_in_a_pyproject(tmp_path: Path, old: str, new: str, problem: str, hint: str | None) -> None:
    assert old in PYPROJECT
    error = refusal(write_workspace_with_package(tmp_path, pyproject=PYPROJECT.replace(old, new)))
    assert error.brief.startswith(f"{FOLDER}/pyproject.toml: {problem}")
    assert hint is None or error.hint == hint


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (LAYER.replace('source = "package"', ""), "packages[0].source: is missing, expected a string"),
        (LAYER + 'tests = "x"\n', "packages[0].tests: unknown field"),
        (LAYER.replace("[[packages]]", "[packages]"), "packages: expected a list, found a table"),
        (
            LAYER.replace('"package"', '"../base-os"'),
            "packages[0].source: '../base-os' is not in recipes/layers/",
        ),
        (LAYER.replace('"package"', '"/etc"'), "packages[0].source: '/etc' is not in recipes/layers/gate/"),
        (
            LAYER.replace('"package"', '"packet"'),
            "packages[0].source: recipes/layers/gate/packet cannot be read: No such file or directory",
        ),
        (
            LAYER + 'include = ["src/gate"]\n',
            "packages[0].include[0]: 'src/gate' is a path, expected a pattern",
        ),
        (LAYER + 'exclude = ["gate_keeper"]\n', "packages[0].include: no Python module of gate-keeper is included"),
        (LAYER + LAYER[LAYER.index("[[") :], "packages[1].source: gate-keeper is listed twice"),
    ],
)
def test_trouble_in_the_layer(tmp_path: Path, layer: str, problem: str) -> None:
    error = refusal(write_workspace_with_package(tmp_path, layer=layer))
    assert error.brief.startswith(f"recipes/layers/gate.toml: {problem}")


def test_a_pyproject_that_is_not_included_or_missing(tmp_path: Path) -> None:
    root = write_workspace_with_package(tmp_path, layer=LAYER + 'include = ["src", "README.md"]\n')
    assert refusal(root).brief == f"{FOLDER}/pyproject.toml: is not included in the package"
    (root / FOLDER / "pyproject.toml").unlink()
    assert refusal(root).brief == f"{FOLDER}/pyproject.toml: no such file"


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    root = write_workspace_with_package(tmp_path)
    (root / FOLDER / MODULE).with_name("link.py").symlink_to("/etc/passwd")
    problem = "packages[0].source: 'src/gate_keeper/link.py' in it is neither a file nor a folder"
    assert refusal(root).brief == f"recipes/layers/gate.toml: {problem}"
    (root / FOLDER / MODULE).with_name("link.py").unlink()
    os.mkfifo((root / FOLDER / MODULE).with_name("pipe"))
    assert "'src/gate_keeper/pipe' in it is neither a file nor a folder" in refusal(root).brief
    (root / FOLDER / MODULE).with_name("pipe").unlink()
    (root / FOLDER / "src" / "loop").symlink_to(".")
    assert "'src/loop' in it is neither a file nor a folder" in refusal(root).brief


def test_a_package_folder_that_leads_out_of_the_layer_is_refused(tmp_path: Path) -> None:
    root = write_workspace_with_package(tmp_path)
    (root / FOLDER).rename(tmp_path / "elsewhere")
    (root / FOLDER).symlink_to(tmp_path / "elsewhere")
    assert refusal(root).brief.endswith("cannot be read: a link leads out of gate/")


def test_a_release_cannot_require_another_package_of_that_name(tmp_path: Path) -> None:
    release = RELEASE.replace('"astro-sdk-python==1.5.3"', '"gate.keeper"')
    error = refusal(write_workspace_with_package(tmp_path, release=release))
    assert error.brief.endswith("gate-keeper is required twice: 'gate.keeper' and 'gate-keeper==1.0.0'")


def test_two_layers_cannot_have_the_same_package(tmp_path: Path) -> None:
    root = write_workspace_with_package(tmp_path)
    put(root / "recipes/layers/other.toml", LAYER)
    write_package(root / "recipes/layers/other/package")
    release = root / "recipes/releases/8.0.0.toml"
    release.write_text(release.read_text().replace('"gate"]', '"gate", "other"]'))
    assert "gate-keeper is required twice" in refusal(root).brief
