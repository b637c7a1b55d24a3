"""Recipes: what they say, and what is said of bad ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import RecipeError
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import DebianLayer, FilesLayer, InstalledFile, PythonLayer, Suite
from rtbuild.recipe.read import list_engines, list_releases, read_engine, read_release
from tests.fakes import workspaces
from tests.fakes.workspaces import put, refusal, write_workspace


def test_a_release_is_put_together_from_its_file_and_its_layers(tmp_path: Path) -> None:
    release = read_release(write_workspace(tmp_path), "8.0.0")
    assert release.airflow == "2.6.0"
    assert release.as_of == datetime(2023, 5, 2, tzinfo=UTC)
    assert release.platforms == (PLATFORMS["linux/amd64"],)
    assert release.requirements == (
        "apache-airflow[async,celery]==2.6.0",
        "apache-airflow-providers-amazon==8.0.0",
        "apache-airflow-providers-http==4.3.0",
        "astro-sdk-python==1.5.3",
        "pip",
    )
    assert release.constraints == ("pip==23.1.2",)
    assert release.build_constraints == ("setuptools==67.7.2",)
    assert [layer.name for layer in release.layers] == ["base-os", "python", "airflow", "providers"]
    assert [type(layer) for layer in release.layers] == [DebianLayer, DebianLayer, PythonLayer, PythonLayer]
    assert release.support.until == "2023-11"


def test_a_debian_layer_without_suites_has_those_of_its_parent(tmp_path: Path) -> None:
    base, python = read_release(write_workspace(tmp_path), "8.0.0").debian_layers
    assert python.suites == base.suites == (Suite(archive="debian", suite="bullseye"),)
    assert [removal.pattern for removal in python.removals] == ["/usr/*/__pycache__"]


def test_image_parts_merge_and_the_later_layer_wins(tmp_path: Path) -> None:
    image = read_release(write_workspace(tmp_path), "8.0.0").image
    assert image.env == (("LANG", "C.UTF-8"), ("VERSION", "8.0.0 on Debian 11"), ("WHO", "airflow"))
    assert image.working_dir == "/usr/local/airflow"


def test_the_release_has_the_last_word_on_the_image(tmp_path: Path) -> None:
    root = write_workspace(
        tmp_path, release=workspaces.RELEASE + '\n[image]\nuser = "root"\nenv = { WHO = "release" }\n'
    )
    image = read_release(root, "8.0.0").image
    assert dict(image.env)["WHO"] == "release"
    assert image.user == "root"


def test_installed_files_are_digested_and_have_a_place(tmp_path: Path) -> None:
    extra = """
[[directories]]
path = "/srv"
mode = "0775"
uid = 50000

[[links]]
path = "/etc/alias"
to = "motd"

[[copies]]
path = "/etc/apt/sources.list"
of = "/usr/share/doc/apt/examples/sources.list"
"""
    root = write_workspace(tmp_path, base_os=workspaces.BASE_OS + extra)
    files = read_release(root, "8.0.0").layers[0].files
    motd = root / "recipes/layers/base-os/motd"
    assert files == (
        InstalledFile(path="/etc/alias", link="motd", mode=0o777),
        InstalledFile(path="/etc/apt/sources.list", copy_of="/usr/share/doc/apt/examples/sources.list"),
        InstalledFile(path="/etc/motd", source=motd, sha256=sha256_bytes(b"hello\n")),
        InstalledFile(path="/srv", mode=0o775, uid=50000),
    )


def test_comments_spaces_and_order_do_not_change_an_input_but_content_does(tmp_path: Path) -> None:
    before = read_release(write_workspace(tmp_path), "8.0.0").inputs
    lines = workspaces.PROVIDERS.strip().splitlines()
    put(tmp_path / "recipes/layers/providers.toml", "# a comment\n" + "\n\n".join(reversed(lines)))
    assert read_release(tmp_path, "8.0.0").inputs == before
    put(tmp_path / "recipes/layers/base-os/motd", "bye\n")
    after = dict(read_release(tmp_path, "8.0.0").inputs)
    assert [name for name, digest in before if after[name] != digest] == ["recipes/layers/base-os/motd"]


def test_an_unused_layer_is_no_input(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/layers/other.toml", "kind = 5")
    assert "recipes/layers/other.toml" not in dict(read_release(root, "8.0.0").inputs)


def test_releases_are_listed_by_version_not_by_spelling(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    for version in ("8.10.0", "8.2.0", "10.0.0"):
        put(root / f"recipes/releases/{version}.toml", workspaces.RELEASE)
    put(root / "recipes/releases/.8.0.0.toml", "left over by an editor")
    assert list_releases(root) == ("8.0.0", "8.2.0", "8.10.0", "10.0.0")


def test_a_release_file_has_to_be_named_as_a_version(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/releases/8.1.toml", workspaces.RELEASE)
    with pytest.raises(RecipeError, match=r"recipes/releases/8\.1\.toml: is not named as a release"):
        list_releases(root)


def test_an_unknown_release_names_the_known_ones(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path), "9.0.0")
    assert error.brief == "recipes/releases/9.0.0.toml: there is no such file"
    assert error.hint == "known releases: 8.0.0"


def test_an_engine_recipe(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    engine = read_engine(root, "default")
    assert list_engines(root) == ("default",)
    assert engine.packages == (("docker.io", "trixie"), ("runc", "bookworm"))
    assert [suite.suite for suite in engine.suites] == ["trixie", "bookworm"]
    assert [name for name, _ in engine.inputs] == ["recipes/engines/default.toml"]


def test_an_engine_package_from_a_suite_that_is_not_there(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/engines/default.toml", workspaces.ENGINE.replace('runc = "bookworm"', 'runc = "sid"'))
    with pytest.raises(
        RecipeError, match=r"default\.toml: packages\.runc: comes from 'sid', which is no \[\[suite\]\]"
    ):
        read_engine(root, "default")


SERIES = "a Python series such as 3.9 is expected; its patch comes from the Debian package"

RELEASE_TROUBLE = [
    pytest.param(
        'airflow = "2.6.0"',
        'airflw = "2.6.0"',
        "airflow: is missing, a string is expected",
        'write it as airflow = "text"',
        id="missing",
    ),
    pytest.param(
        'python = "3.9"',
        "python = 3.9",
        "python: expected a string, found a number",
        'write it as python = "text"',
        id="type",
    ),
    pytest.param('airflow = "2.6.0"', 'airflow = "two"', "airflow: 'two': not a version (PEP 440)", None, id="version"),
    pytest.param(
        'python = "3.9"',
        'python = "3.9.2"',
        f"python: '3.9.2': {SERIES}",
        None,
        id="python",
    ),
    pytest.param(
        '"linux/amd64"',
        '"linux/s390x"',
        "platforms[0]: unknown platform 'linux/s390x'",
        "known platforms: linux/amd64, linux/arm64",
        id="platform",
    ),
    pytest.param('"async"]', '"celery"]', "extras[1]: 'celery' is listed twice", None, id="extra twice"),
    pytest.param(
        "2023-05-02T00:00:00Z",
        "2023-05-02T00:00:00",
        "as_of: has no time zone",
        "write it in UTC: 2023-05-02T00:00:00Z",
        id="no zone",
    ),
    pytest.param('"2023-04-30"', '"30 April"', "released: '30 April' is not a day", "write it as 2023-04-30", id="day"),
    pytest.param(
        '"stable"', '"fine"', "support.status: unknown status 'fine'", "one of stable, lts, yanked", id="status"
    ),
    pytest.param(
        '"2023-11"', '"2023-13"', "support.until: '2023-13': a month such as 2023-11 is expected", None, id="month"
    ),
    pytest.param(
        '"astro-sdk-python==1.5.3"',
        '"astro-sdk-python=1.5.3"',
        "packages[0]: 'astro-sdk-python=1.5.3': not a requirement (PEP 508): ",
        None,
        id="requirement",
    ),
    pytest.param(
        '"astro-sdk-python==1.5.3"',
        '"astro-sdk-python @ file:///srv/astro.whl"',
        "packages[0]: 'astro-sdk-python @ file:///srv/astro.whl': "
        "a requirement names a package and versions, never an address",
        None,
        id="address",
    ),
    pytest.param(
        '"pip==23.1.2"',
        '"pip"',
        "constraints[0]: 'pip': a constraint needs a version, such as ==1.2.3",
        None,
        id="bare",
    ),
    pytest.param(
        '"pip==23.1.2"',
        '"pip[a]==23.1.2"',
        "constraints[0]: 'pip[a]==23.1.2': a constraint cannot have extras",
        None,
        id="extras",
    ),
    pytest.param(
        "apache-airflow-providers-amazon",
        "apache_airflow_providers.http",
        "providers",
        None,
        id="provider as dotted key",
    ),
    pytest.param(
        "apache-airflow-providers-amazon",
        "Apache_Airflow_Providers_HTTP",
        "providers.apache-airflow-providers-http: is the same provider as Apache_Airflow_Providers_HTTP",
        "keep one of them",
        id="provider twice",
    ),
    pytest.param(
        "apache-airflow-providers-amazon",
        "astro-sdk",
        "providers.astro-sdk: is not a provider of Airflow",
        "name it in 'packages'",
        id="no provider",
    ),
    pytest.param(
        '"base-os", "python"',
        '"python"',
        "layers[0]: the parent 'base-os' of python does not stand below it",
        None,
        id="no parent",
    ),
    pytest.param(
        '"base-os", "python"',
        '"python", "base-os"',
        "layers[0]: the parent 'base-os' of python does not stand below it",
        None,
        id="parent later",
    ),
    pytest.param(
        '"airflow", "providers"',
        '"airflow", "airflow"',
        "layers[3]: 'airflow' is listed twice",
        "keep one of them",
        id="layer twice",
    ),
    pytest.param(
        '"providers"]',
        '"provider"]',
        "layers[3]: there is no recipes/layers/provider.toml",
        "did you mean 'providers'?",
        id="layer missing",
    ),
    pytest.param(
        '"airflow", "providers"]',
        '"airflow"]',
        "layers: it is not clear which Python layer holds the rest",
        "one Python layer, and only one, has neither 'roots' nor 'packages': it holds the rest",
        id="no rest",
    ),
    pytest.param(
        '"astro-sdk-python==1.5.3"',
        '"PIP==23"',
        "pip is required twice: 'PIP==23' and 'pip'",
        "keep one of them",
        id="twice",
    ),
]


@pytest.mark.parametrize(("old", "new", "problem", "hint"), RELEASE_TROUBLE)
def test_trouble_in_a_release(tmp_path: Path, old: str, new: str, problem: str, hint: str | None) -> None:
    assert old in workspaces.RELEASE
    error = refusal(write_workspace(tmp_path, release=workspaces.RELEASE.replace(old, new)))
    assert error.brief.startswith(f"recipes/releases/8.0.0.toml: {problem}")
    assert "\n" not in error.brief
    assert error.hint
    assert hint is None or error.hint == hint


LAYER_TROUBLE = [
    pytest.param("packages =", "package =", "package: unknown field", "did you mean 'packages'?", id="typo"),
    pytest.param(
        'kind = "debian"',
        'kind = "rpm"',
        "kind: unknown kind 'rpm'",
        "a layer is of kind 'debian', 'python' or 'files'",
        id="kind",
    ),
    pytest.param('"apt", "tini"', '"apt", 5', "packages[1]: expected a string, found a whole number", None, id="item"),
    pytest.param(
        '"apt", "tini"', '"apt", "Tini"', "packages[1]: 'Tini': not a Debian package name", None, id="package"
    ),
    pytest.param('"apt", "tini"', '"apt", "apt"', "packages[1]: 'apt' is listed twice", None, id="twice"),
    pytest.param('suite = "bullseye"', "", "suite[0].suite: is missing, a string is expected", None, id="suite"),
    pytest.param(
        'suite = "bullseye"',
        'suite = "bullseye"\ncomponents = "main"',
        "suite[0].components: expected a list, found a string",
        None,
        id="components",
    ),
    pytest.param(
        'suite = "bullseye"',
        'suite = "bullseye"\narchitectures = ["x86"]',
        "suite[0].architectures[0]: unknown architecture 'x86'",
        "known ones: amd64, arm64",
        id="architecture",
    ),
    pytest.param(
        'suite = "bullseye"',
        'suite = "bullseye"\nsnapshot = "2023-05-01"',
        "suite[0].snapshot: '2023-05-01': a moment such as 20230501T000000Z is expected",
        None,
        id="snapshot",
    ),
    pytest.param(
        'suite = "bullseye"',
        'suite = "bullseye"\nsnapshot = "20231301T000000Z"',
        "suite[0].snapshot: '20231301T000000Z': a moment such as 20230501T000000Z is expected",
        None,
        id="snapshot in a thirteenth month",
    ),
    pytest.param(
        "uid = 50000", "uid = true", "user[0].uid: expected a whole number, found true or false", None, id="uid"
    ),
    pytest.param("uid = 50000", "uid = -1", "user[0].uid: is -1, at least 0 is expected", None, id="negative"),
    pytest.param(
        '"motd"', '"../motd"', "files[0].source: '../motd' does not lie in recipes/layers/base-os/", None, id="out"
    ),
    pytest.param(
        '"motd"',
        '"mottd"',
        "files[0].source: recipes/layers/base-os/mottd cannot be read: No such file or directory",
        None,
        id="missing file",
    ),
    pytest.param(
        '"motd"',
        '"motd"\nmode = "644"',
        "files[0].mode: '644' is not a mode in octal",
        'write it as "0644" or "0755"',
        id="mode",
    ),
    pytest.param(
        '"/etc/motd"', '"etc/motd"', "files[0].path: 'etc/motd' is not a plain absolute path", None, id="relative"
    ),
    pytest.param(
        'reason = "says when the build ran"', "", "removals[0].reason: is missing, a string is expected", None, id="why"
    ),
    pytest.param(
        '"C.UTF-8"',
        '"{verison}"',
        "image.env.LANG: unknown placeholder {verison}",
        "known ones: {version}, {airflow}, {python}, {os}",
        id="placeholder",
    ),
    pytest.param("LANG =", '"A B" =', "image.env.A B: not the name of an environment variable", None, id="variable"),
    pytest.param(
        "[[user]]",
        '[[user]]\nname = "other"\nuid = 50000\ngid = 0\nhome = "/"\n[[user]]',
        "user[1].uid: 50000 is the uid of other already",
        None,
        id="uid twice",
    ),
    pytest.param('title = "A small system"', 'title = "A', "is not valid TOML: ", None, id="syntax"),
    pytest.param(
        "[[files]]",
        '[[files]]\npath = "/etc/motd"\nsource = "motd"\n[[files]]',
        "files[1].path: /etc/motd is installed twice",
        None,
        id="path twice",
    ),
]


@pytest.mark.parametrize(("old", "new", "problem", "hint"), LAYER_TROUBLE)
def test_trouble_in_a_layer(tmp_path: Path, old: str, new: str, problem: str, hint: str | None) -> None:
    assert old in workspaces.BASE_OS
    error = refusal(write_workspace(tmp_path, base_os=workspaces.BASE_OS.replace(old, new)))
    assert error.brief.startswith(f"recipes/layers/base-os.toml: {problem}")
    assert "\n" not in error.brief
    assert error.hint
    assert hint is None or error.hint == hint


def test_a_python_layer_has_no_debian_fields(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path, airflow=workspaces.AIRFLOW.replace("roots", "users")))
    assert error.brief == "recipes/layers/airflow.toml: users: unknown field"


def test_a_python_layer_copies_nothing(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path, airflow=workspaces.AIRFLOW + '[[copies]]\npath = "/a"\nof = "/b"\n'))
    problem = "copies[0]: /a: a layer of kind 'python' cannot look into the layers below it"
    assert error.brief == f"recipes/layers/airflow.toml: {problem}"


def test_a_root_that_nothing_requires(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path, airflow=workspaces.AIRFLOW.replace('"pip"]\nreq', '"wheel"]\nreq')))
    assert error.brief == "recipes/releases/8.0.0.toml: layers: airflow holds 'wheel', which nothing requires"


def test_a_debian_layer_above_a_python_layer(tmp_path: Path) -> None:
    release = workspaces.RELEASE.replace('"python", "airflow", "providers"', '"airflow", "python", "providers"')
    error = refusal(write_workspace(tmp_path, release=release))
    assert error.brief == "recipes/releases/8.0.0.toml: layers[2]: the Debian layer python stands above a Python layer"


FILES = r"""
kind = "files"
title = "Files"

[[directories]]
path = "/srv"

[[files]]
path = "/srv/script"
source = "script"
mode = "0755"

[[files]]
path = "/srv/pin.txt"
content = "apache-airflow=={airflow}\n"

[image]
on_build = ["RUN echo ${HOME} {airflow}"]
"""


def with_files(root: Path, text: str = FILES, layers: str = '"providers", "files"') -> Path:
    """The small project with a layer of files."""
    write_workspace(root, release=workspaces.RELEASE.replace('"providers"]', f"{layers}]"))
    put(root / "recipes/layers/files.toml", text)
    put(root / "recipes/layers/files/script", "#!/bin/sh\necho {airflow}\n")
    return root


def test_a_layer_of_files_holds_them_with_the_releases_fields_filled_in(tmp_path: Path) -> None:
    root = with_files(tmp_path)
    release = read_release(root, "8.0.0")
    layer = release.layers[-1]
    assert isinstance(layer, FilesLayer)
    pin = "apache-airflow==2.6.0\n"
    script = root / "recipes/layers/files/script"
    assert layer.files == (
        InstalledFile(path="/srv", mode=0o755),
        InstalledFile(path="/srv/pin.txt", content=pin, sha256=sha256_bytes(pin.encode())),
        # what lies in a file of its own stays as it is: braces mean much in scripts
        InstalledFile(path="/srv/script", source=script, sha256=sha256_bytes(script.read_bytes()), mode=0o755),
    )
    assert release.image.on_build == ("RUN echo ${HOME} {airflow}",)
    assert {"recipes/layers/files.toml", "recipes/layers/files/script"} <= set(dict(release.inputs))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param("=={airflow}", "=={airfow}", "files[1].content: unknown placeholder {airfow}", id="placeholder"),
        pytest.param(
            'source = "script"',
            'source = "script"\ncontent = "x"',
            "files[0].content: stands beside 'source'",
            id="both",
        ),
        pytest.param('title = "Files"', 'title = "Files"\npackages = []', "packages: unknown field", id="packages"),
        pytest.param(
            'title = "Files"',
            'title = "Files"\n[[removals]]\npattern = "/x"\nreason = "y"',
            "removals: unknown field",
            id="removals",
        ),
        pytest.param(
            "[[directories]]",
            '[[copies]]\npath = "/a"\nof = "/b"\n[[directories]]',
            "copies[0]: /a: a layer of kind 'files' cannot look into the layers below it",
            id="copy",
        ),
    ],
)
def test_trouble_in_a_layer_of_files(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in FILES
    error = refusal(with_files(tmp_path, FILES.replace(old, new)))
    assert error.brief == f"recipes/layers/files.toml: {problem}"


def test_a_layer_of_files_without_any(tmp_path: Path) -> None:
    error = refusal(with_files(tmp_path, 'kind = "files"\ntitle = "Nothing"\n'))
    assert error.brief == "recipes/layers/files.toml: files: names no file: the layer would be empty"


def test_a_debian_layer_above_a_layer_of_files(tmp_path: Path) -> None:
    root = with_files(tmp_path)
    text = workspaces.RELEASE.replace('"python", "airflow", "providers"', '"files", "python", "airflow", "providers"')
    put(root / "recipes/releases/8.0.0.toml", text)
    error = refusal(root)
    assert (
        error.brief == "recipes/releases/8.0.0.toml: layers[2]: the Debian layer python stands above a layer of files"
    )


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    release = workspaces.RELEASE.replace('os = "Debian 11"', "").replace('"3.9"', '"three"') + "\n[imgae]\n"
    error = refusal(write_workspace(tmp_path, release=release))
    assert error.brief.endswith(f"{SERIES} (and 2 more)")
    assert error.details is not None
    assert error.details.splitlines() == [
        f"recipes/releases/8.0.0.toml: python: 'three': {SERIES}",
        'recipes/releases/8.0.0.toml: os: is missing, a string is expected (write it as os = "text")',
        "recipes/releases/8.0.0.toml: imgae: unknown field (did you mean 'image'?)",
    ]


def test_a_recipe_that_is_not_text(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    (root / "recipes/releases/8.0.0.toml").write_bytes(b"\xff\xfe")
    assert refusal(root).brief == "recipes/releases/8.0.0.toml: is not UTF-8 text (byte 0)"
