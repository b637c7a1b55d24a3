"""Reading layers, and what is wrong with bad ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.recipe.model import FilesLayer, Group, InstalledFile, User
from rtbuild.recipe.read import read_release
from tests.fakes import workspaces
from tests.fakes.workspaces import put, refusal, write_workspace


def test_installed_files_are_hashed_and_sorted(tmp_path: Path) -> None:
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

[[apt_sources]]
path = "/etc/apt/sources.list.d/own.list"
example = "/usr/share/doc/apt/examples/sources.list"
mode = "0600"
"""
    root = write_workspace(tmp_path, base_os=workspaces.BASE_OS + extra)
    files = read_release(root, "8.0.0").layers[0].files
    motd = root / "recipes/layers/base-os/motd"
    assert files == (
        InstalledFile(path="/etc/alias", link="motd", mode=0o777),
        InstalledFile(path="/etc/apt/sources.list", copy_of="/usr/share/doc/apt/examples/sources.list"),
        InstalledFile(
            path="/etc/apt/sources.list.d/own.list",
            copy_of="/usr/share/doc/apt/examples/sources.list",
            apt_sources=True,
            mode=0o600,
        ),
        InstalledFile(path="/etc/motd", source=motd, sha256=sha256_bytes(b"hello\n")),
        InstalledFile(path="/srv", mode=0o775, uid=50000),
    )


def test_groups_and_their_members(tmp_path: Path) -> None:
    base_os = workspaces.BASE_OS.replace(
        "[[user]]", '[[group]]\nname = "astro"\ngid = 50000\n\n[[user]]\ngroups = ["astro"]'
    )
    layer = read_release(write_workspace(tmp_path, base_os=base_os), "8.0.0").debian_layers[0]
    assert layer.groups == (Group(name="astro", gid=50000),)
    assert layer.users == (User(name="astro", uid=50000, gid=0, home="/home/astro", groups=("astro",)),)


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
    pytest.param('suite = "bullseye"', "", "suite[0].suite: is missing, expected a string", None, id="suite"),
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
        "known architectures: amd64, arm64",
        id="architecture",
    ),
    pytest.param(
        'suite = "bullseye"',
        'suite = "bullseye"\nsnapshot = "2023-05-01"',
        "suite[0].snapshot: '2023-05-01': expected a moment such as 20230501T000000Z",
        None,
        id="snapshot",
    ),
    pytest.param(
        'suite = "bullseye"',
        'suite = "bullseye"\nsnapshot = "20231301T000000Z"',
        "suite[0].snapshot: '20231301T000000Z': expected a moment such as 20230501T000000Z",
        None,
        id="snapshot in a thirteenth month",
    ),
    pytest.param(
        "uid = 50000", "uid = true", "user[0].uid: expected a whole number, found true or false", None, id="uid"
    ),
    pytest.param("uid = 50000", "uid = -1", "user[0].uid: is -1, expected at least 0", None, id="negative"),
    pytest.param('"motd"', '"../motd"', "files[0].source: '../motd' is not in recipes/layers/base-os/", None, id="out"),
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
        "files[0].mode: '644' is not an octal mode",
        'write it as "0644" or "0755"',
        id="mode",
    ),
    pytest.param(
        '"/etc/motd"', '"etc/motd"', "files[0].path: 'etc/motd' is not a normalised absolute path", None, id="relative"
    ),
    pytest.param(
        'reason = "says when the build ran"', "", "removals[0].reason: is missing, expected a string", None, id="why"
    ),
    pytest.param(
        '"C.UTF-8"',
        '"{verison}"',
        "image.env.LANG: unknown placeholder {verison}",
        "write {{ and }} for braces; known placeholders: {version}, {airflow}, {python}, {os}",
        id="placeholder",
    ),
    pytest.param("LANG =", '"A B" =', "image.env.A B: is not the name of an environment variable", None, id="variable"),
    pytest.param(
        "[[user]]",
        '[[user]]\nname = "other"\nuid = 50000\ngid = 0\nhome = "/"\n[[user]]',
        "user[1].uid: 50000 is already the uid of other",
        None,
        id="uid twice",
    ),
    pytest.param(
        "[[user]]",
        '[[group]]\nname = "a"\ngid = 1\n[[group]]\nname = "b"\ngid = 1\n[[user]]',
        "group[1].gid: 1 is already the gid of a",
        None,
        id="gid twice",
    ),
    pytest.param(
        "[[user]]",
        '[[group]]\nname = "a"\ngid = 1\n[[group]]\nname = "a"\ngid = 2\n[[user]]',
        "group[1].name: the group a is listed twice",
        None,
        id="group twice",
    ),
    pytest.param(
        "[[user]]", '[[user]]\ngroups = ["a:b"]', "user[0].groups[0]: 'a:b': ", None, id="a group that is no name"
    ),
    pytest.param(
        'home = "/home/astro"',
        'home = "/home/a:b"',
        "user[0].home: '/home/a:b' has a colon or a control character",
        None,
        id="colon",
    ),
    pytest.param(
        'path = "/etc/motd"',
        r'path = "/etc/mo\ntd"',
        r"files[0].path: '/etc/mo\ntd' has a control character",
        None,
        id="line break",
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


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "../../releases/8.0.0.toml"])
def test_a_source_that_leads_out_of_its_folder(tmp_path: Path, target: str) -> None:
    root = write_workspace(tmp_path)
    motd = root / "recipes" / "layers" / "base-os" / "motd"
    motd.unlink()
    motd.symlink_to(target)
    problem = "recipes/layers/base-os/motd cannot be read: a link leads out of base-os/"
    assert refusal(root).brief == f"recipes/layers/base-os.toml: files[0].source: {problem}"


def test_a_source_that_is_a_pipe(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    motd = root / "recipes" / "layers" / "base-os" / "motd"
    motd.unlink()
    os.mkfifo(motd)
    assert refusal(root).brief.endswith("recipes/layers/base-os/motd cannot be read: not a regular file")


def test_debian_fields_in_a_python_layer(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path, airflow=workspaces.AIRFLOW.replace("roots", "users")))
    assert error.brief == "recipes/layers/airflow.toml: users: unknown field"


def test_a_copy_in_a_python_layer(tmp_path: Path) -> None:
    error = refusal(write_workspace(tmp_path, airflow=workspaces.AIRFLOW + '[[copies]]\npath = "/a"\nof = "/b"\n'))
    problem = "copies[0]: /a: a layer of kind 'python' cannot read the layers below it"
    assert error.brief == f"recipes/layers/airflow.toml: {problem}"


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
    """Write the small workspace with a layer of files."""
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
        # Files of their own stay as they are: braces are common in scripts.
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
            "files[0].content: cannot be combined with 'source'",
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
            "copies[0]: /a: a layer of kind 'files' cannot read the layers below it",
            id="copy",
        ),
    ],
)
def test_trouble_in_a_layer_of_files(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in FILES
    error = refusal(with_files(tmp_path, FILES.replace(old, new)))
    assert error.brief == f"recipes/layers/files.toml: {problem}"


def test_only_a_debian_layer_tells_apt_its_sources(tmp_path: Path) -> None:
    sources = '[[apt_sources]]\npath = "/a"\nexample = "/b"\n[[directories]]'
    error = refusal(with_files(tmp_path, FILES.replace("[[directories]]", sources)))
    problem = "apt_sources[0]: /a: a layer of kind 'files' cannot read the layers below it"
    assert error.brief == f"recipes/layers/files.toml: {problem}"


def test_a_layer_of_files_without_any(tmp_path: Path) -> None:
    error = refusal(with_files(tmp_path, 'kind = "files"\ntitle = "Nothing"\n'))
    assert error.brief == "recipes/layers/files.toml: files: lists no files, so the layer would be empty"
