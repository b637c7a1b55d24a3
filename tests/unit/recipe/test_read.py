"""Reading releases and engines, and what is wrong with bad ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.errors import RecipeError
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import DebianLayer, MetadataRepair, PythonLayer, Suite, Support
from rtbuild.recipe.read import list_engines, list_releases, read_engine, read_release
from tests.fakes import workspaces
from tests.fakes.workspaces import put, refusal, write_workspace


def test_a_release_is_read_from_its_file_and_its_layers(tmp_path: Path) -> None:
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
    assert release.support == Support(status="stable", until="2023-11")


def test_a_debian_layer_without_suites_has_those_of_its_parent(tmp_path: Path) -> None:
    base, python = read_release(write_workspace(tmp_path), "8.0.0").debian_layers
    assert python.suites == base.suites == (Suite(archive="debian", suite="bullseye"),)
    assert [removal.pattern for removal in python.removals] == ["/usr/*/__pycache__"]


def test_comments_spaces_and_order_do_not_change_an_input_but_content_does(tmp_path: Path) -> None:
    before = read_release(write_workspace(tmp_path), "8.0.0").inputs
    lines = workspaces.PROVIDERS.strip().splitlines()
    put(tmp_path / "recipes/layers/providers.toml", "# a comment\n" + "\n\n".join(reversed(lines)))
    assert read_release(tmp_path, "8.0.0").inputs == before
    put(tmp_path / "recipes/layers/base-os/motd", "bye\n")
    after = dict(read_release(tmp_path, "8.0.0").inputs)
    assert [name for name, digest in before if after[name] != digest] == ["recipes/layers/base-os/motd"]


def test_an_unused_layer_is_not_an_input(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/layers/other.toml", "kind = 5")
    assert "recipes/layers/other.toml" not in dict(read_release(root, "8.0.0").inputs)


def test_releases_are_listed_by_version_not_by_spelling(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    for version in ("8.10.0", "8.2.0", "10.0.0"):
        put(root / f"recipes/releases/{version}.toml", workspaces.RELEASE)
    put(root / "recipes/releases/.8.0.0.toml", "left over by an editor")
    assert list_releases(root) == ("8.0.0", "8.2.0", "8.10.0", "10.0.0")


def test_a_release_file_must_be_named_after_a_version(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/releases/8.1.toml", workspaces.RELEASE)
    with pytest.raises(RecipeError, match=r"recipes/releases/8\.1\.toml: is not named after a version"):
        list_releases(root)


def test_an_unknown_release_names_the_known_ones(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path), "9.0.0")
    assert error.brief == "recipes/releases/9.0.0.toml: no such file"
    assert error.hint == "known releases: 8.0.0"


def test_an_engine_recipe(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    engine = read_engine(root, "default")
    assert list_engines(root) == ("default",)
    assert engine.packages == (("docker.io", "trixie"), ("runc", "bookworm"))
    assert [suite.suite for suite in engine.suites] == ["trixie", "bookworm"]
    assert [name for name, _ in engine.inputs] == ["recipes/engines/default.toml"]


def test_an_engine_package_from_an_unknown_suite(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/engines/default.toml", workspaces.ENGINE.replace('runc = "bookworm"', 'runc = "sid"'))
    with pytest.raises(
        RecipeError, match=r"default\.toml: packages\.runc: comes from 'sid', which is not a \[\[suite\]\]"
    ):
        read_engine(root, "default")


SERIES = "expected a Python series such as 3.9; the patch version comes from the Debian package"

RELEASE_TROUBLE = [
    pytest.param(
        'airflow = "2.6.0"',
        'airflw = "2.6.0"',
        "airflw: unknown field",
        "did you mean 'airflow'?",
        id="misspelt",
    ),
    pytest.param(
        'airflow = "2.6.0"',
        "",
        "extras: the release has no 'airflow'",
        "write it as airflow = \"2.6.0\", or list the packages under 'packages'",
        id="no airflow",
    ),
    pytest.param('os = "Debian 11"', "", "os: is missing, expected a string", 'write it as os = "text"', id="missing"),
    pytest.param(
        'python = "3.9"', "", "python: is missing, expected a string", 'write it as python = "3.13"', id="no python"
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
    pytest.param(
        '"2023-04-30"', '"30 April"', "released: '30 April' is not a date", "write it as 2023-04-30", id="day"
    ),
    pytest.param(
        '"stable"',
        '"fine"',
        "support.status: unknown status 'fine'",
        "known statuses: stable, lts, yanked",
        id="status",
    ),
    pytest.param(
        '"2023-11"', '"2023-13"', "support.until: '2023-13': expected a month such as 2023-11", None, id="month"
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
        "a requirement must name a package and versions, not a URL",
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
        "providers.astro-sdk: is not an Airflow provider",
        "list it in 'packages'",
        id="no provider",
    ),
    pytest.param(
        '"base-os", "python"',
        '"python"',
        "layers[0]: the parent 'base-os' of python is not below it",
        None,
        id="no parent",
    ),
    pytest.param(
        '"base-os", "python"',
        '"python", "base-os"',
        "layers[0]: the parent 'base-os' of python is not below it",
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
        "layers[3]: no such file: recipes/layers/provider.toml",
        "did you mean 'providers'?",
        id="layer missing",
    ),
    pytest.param(
        '"airflow", "providers"]',
        '"airflow"]',
        "layers: exactly one Python layer must have no roots",
        "leave out 'roots' and 'packages' in exactly one Python layer, which then holds all other packages",
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


def test_a_debian_layer_lies_on_the_one_just_below_it(tmp_path: Path) -> None:
    release = workspaces.RELEASE.replace('"base-os", "python"', '"base-os", "python", "tools"')
    root = write_workspace(tmp_path, release=release)
    tools = root / "recipes/layers/tools.toml"
    tools.write_text('kind = "debian"\ntitle = "Tools"\nparent = "base-os"\npackages = ["jq"]\n')
    error = refusal(root)
    assert error.brief == (
        "recipes/releases/8.0.0.toml: layers[2]: the parent of tools is base-os, but python lies between them"
    )
    assert error.hint == 'set parent = "python" in recipes/layers/tools.toml, the Debian layer just below it'
    tools.write_text(tools.read_text().replace("base-os", "python"))
    layers = read_release(root, "8.0.0").debian_layers
    assert [layer.name for layer in layers] == ["base-os", "python", "tools"]
    assert layers[2].suites == layers[0].suites


@pytest.mark.parametrize(("old", "new", "problem", "hint"), RELEASE_TROUBLE)
def test_trouble_in_a_release(tmp_path: Path, old: str, new: str, problem: str, hint: str | None) -> None:
    assert old in workspaces.RELEASE
    error = refusal(write_workspace(tmp_path, release=workspaces.RELEASE.replace(old, new)))
    assert error.brief.startswith(f"recipes/releases/8.0.0.toml: {problem}")
    assert "\n" not in error.brief
    assert error.hint
    assert hint is None or error.hint == hint


def test_a_root_that_nothing_requires(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path, airflow=workspaces.AIRFLOW.replace('"pip"]\nreq', '"wheel"]\nreq')))
    assert error.brief == "recipes/releases/8.0.0.toml: layers: 'wheel' is a root of airflow, but nothing requires it"


def test_a_debian_layer_above_a_python_layer(tmp_path: Path) -> None:
    release = workspaces.RELEASE.replace('"python", "airflow", "providers"', '"airflow", "python", "providers"')
    error = refusal(write_workspace(tmp_path, release=release))
    assert error.brief == "recipes/releases/8.0.0.toml: layers[2]: the Debian layer python is above a Python layer"


def test_a_debian_layer_above_a_layer_of_files(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    put(root / "recipes/layers/files.toml", 'kind = "files"\ntitle = "Files"\n[[directories]]\npath = "/srv"\n')
    text = workspaces.RELEASE.replace('"python", "airflow", "providers"', '"files", "python", "airflow", "providers"')
    put(root / "recipes/releases/8.0.0.toml", text)
    error = refusal(root)
    assert error.brief == "recipes/releases/8.0.0.toml: layers[2]: the Debian layer python is above a layer of files"


def test_all_problems_of_a_file_are_listed_at_once(tmp_path: Path) -> None:
    release = workspaces.RELEASE.replace('os = "Debian 11"', "").replace('"3.9"', '"three"') + "\n[imgae]\n"
    error = refusal(write_workspace(tmp_path, release=release))
    assert error.brief.endswith(f"{SERIES} (and 2 more)")
    assert error.details is not None
    assert error.details.splitlines() == [
        f"recipes/releases/8.0.0.toml: python: 'three': {SERIES}",
        'recipes/releases/8.0.0.toml: os: is missing, expected a string (write it as os = "text")',
        "recipes/releases/8.0.0.toml: imgae: unknown field (did you mean 'image'?)",
    ]


def test_a_recipe_that_is_not_text(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    (root / "recipes/releases/8.0.0.toml").write_bytes(b"\xff\xfe")
    assert refusal(root).brief == "recipes/releases/8.0.0.toml: is not UTF-8 text (byte 0)"


PLAIN = """
python = "3.13"
os = "Debian 13"
as_of = 2026-11-01T00:00:00Z
platforms = ["linux/amd64"]
layers = ["base-os", "python", "app"]
packages = ["flask"]
"""
APP = 'kind = "python"\ntitle = "An application"\n'


def write_plain(root: Path, *, app: str = APP, release: str = PLAIN) -> Path:
    """Write a workspace whose release has nothing of Airflow."""
    write_workspace(root, release=release)
    put(root / "recipes/layers/app.toml", app)
    return root


def test_an_image_without_airflow(tmp_path: Path) -> None:
    release = read_release(write_plain(tmp_path), "8.0.0")
    assert (release.airflow, release.released, release.support) == (None, None, None)
    assert release.requirements == ("flask",)
    assert release.require_python() == "3.13"


def test_an_image_without_python(tmp_path: Path) -> None:
    text = PLAIN.replace('"python", "app"', "").replace('packages = ["flask"]', "").replace('python = "3.13"', "")
    release = read_release(write_plain(tmp_path, release=text), "8.0.0")
    assert (release.python_series, release.requirements, release.python_layers) == (None, (), ())
    with pytest.raises(RecipeError, match="python: is missing"):
        release.require_python()


def test_packages_need_a_python_layer(tmp_path: Path) -> None:
    error = refusal(write_plain(tmp_path, release=PLAIN.replace(', "app"', "")))
    assert error.brief == "recipes/releases/8.0.0.toml: layers: there is no Python layer for flask"
    assert error.hint == "add a layer of kind 'python' that has no roots"


def test_a_python_layer_needs_packages(tmp_path: Path) -> None:
    error = refusal(write_plain(tmp_path, release=PLAIN.replace('packages = ["flask"]', "")))
    assert error.brief == "recipes/releases/8.0.0.toml: packages: nothing is required for the Python layer app"


@pytest.mark.parametrize(
    "use",
    [
        '[image.labels]\nversions = "{airflow} and {airflow}"\n',
        '[[files]]\npath = "/etc/version"\ncontent = "{airflow}"\n',
    ],
    ids=["label", "content"],
)
def test_a_layer_uses_a_field_that_the_release_lacks(tmp_path: Path, use: str) -> None:
    error = refusal(write_plain(tmp_path, app=APP + use))
    assert error.brief == (
        "recipes/releases/8.0.0.toml: layers[2]: the layer app uses {airflow}, but the release has no 'airflow'"
    )
    assert error.hint == "add 'airflow' to the release, or leave out what uses it"


def test_a_release_uses_a_field_that_it_lacks(tmp_path: Path) -> None:
    error = refusal(write_plain(tmp_path, release=PLAIN + '[image.env]\nAIRFLOW = "{airflow}"\n'))
    assert error.brief == "recipes/releases/8.0.0.toml: image: it uses {airflow}, but the release has no 'airflow'"


def test_an_empty_file(tmp_path: Path) -> None:
    app = APP + '[[files]]\npath = "/etc/machine-id"\ncontent = ""\n'
    release = read_release(write_plain(tmp_path, app=app), "8.0.0")
    assert release.layers[-1].files[0].content == ""


METADATA = """
[[metadata]]
file = "celery-5.1.2-py3-none-any.whl"
requirement = "pytz (>dev)"
replacement = "pytz >= 2021"
reason = "dev is no version"
"""


def with_metadata(folder: Path, metadata: str) -> Path:
    return write_workspace(folder, release=workspaces.RELEASE + metadata)


def test_how_to_read_old_metadata(tmp_path: Path) -> None:
    more = METADATA.replace("(>dev)", "(=1)").replace('replacement = "pytz >= 2021"\n', "")
    release = read_release(with_metadata(tmp_path, METADATA + more), "8.0.0")
    first = MetadataRepair(
        file="celery-5.1.2-py3-none-any.whl",
        requirement="pytz (>dev)",
        replacement="pytz>=2021",
        reason="dev is no version",
    )
    assert release.metadata == (first, replace(first, requirement="pytz (=1)", replacement=None))
    plain = read_release(write_workspace(tmp_path / "plain"), "8.0.0")
    assert dict(plain.inputs)["recipes/releases/8.0.0.toml"] != dict(release.inputs)["recipes/releases/8.0.0.toml"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("celery-5.1.2-py3-none-any.whl", "celery", "metadata[0].file: 'celery' is not the file name of a wheel or"),
        ('"pytz >= 2021"', '"pytz >> 1"', "metadata[0].replacement: 'pytz >> 1'"),
        ('reason = "dev is no version"\n', "", "metadata[0].reason: is missing"),
        ("reason", "why", "metadata[0].reason: is missing"),
    ],
)
def test_trouble_in_metadata(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in METADATA
    assert refusal(with_metadata(tmp_path, METADATA.replace(old, new))).brief.startswith(
        f"recipes/releases/8.0.0.toml: {problem}"
    )


def test_a_requirement_that_is_replaced_twice(tmp_path: Path) -> None:
    assert "metadata[1].requirement: 'pytz (>dev)' of celery-5.1.2-py3-none-any.whl is replaced twice" in str(
        refusal(with_metadata(tmp_path, METADATA * 2)).brief
    )
