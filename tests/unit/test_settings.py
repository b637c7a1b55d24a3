"""Settings: which source wins, and what is wrong with bad ones."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
from pathlib import Path

import pytest

import rtbuild.settings as module
from rtbuild.errors import UsageError
from rtbuild.settings import Settings, load_settings
from tests.fakes.users import NOBODY, open_folder, require_root, somebody


def test_defaults_are_usable(tmp_path: Path) -> None:
    settings = load_settings({}, tmp_path)
    assert settings.store.is_absolute()
    assert settings.store.name == "rtbuild"
    assert settings.engine_dir.is_absolute()
    assert settings.engine_dir != settings.store
    assert settings.debian_mirrors == settings.python_indexes == ()
    assert settings.jobs >= 1
    assert settings.compression == "zstd"
    assert settings.repository == "astro-runtime"


def test_options_win_over_environment_over_file(tmp_path: Path) -> None:
    (tmp_path / "rtbuild.toml").write_text('jobs = 2\ncompression = "gzip"\nretries = 9\n')
    environment = {"RTBUILD_JOBS": "3", "RTBUILD_RETRIES": "8"}
    settings = load_settings(environment, tmp_path, jobs=4, builder=None)
    assert (settings.jobs, settings.retries, settings.compression) == (4, 8, "gzip")


def test_the_file_is_found_above_and_its_folders_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "rtbuild.toml").write_text('store = "kept"\ndebian_mirrors = ["usb", "http://127.0.0.1/debian"]\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    settings = load_settings({}, below)
    assert settings.store == tmp_path / "kept"
    assert settings.debian_mirrors == (str(tmp_path / "usb"), "http://127.0.0.1/debian")


def test_folders_of_the_environment_are_relative_to_the_start(tmp_path: Path) -> None:
    environment = {
        "RTBUILD_STORE": "kept",
        "RTBUILD_PYTHON_INDEXES": "'two words' https://127.0.0.1/simple file:///wheels",
    }
    settings = load_settings(environment, tmp_path)
    assert settings.store == tmp_path / "kept"
    assert settings.python_indexes == (
        str(tmp_path / "two words"),
        "https://127.0.0.1/simple",
        "file:///wheels",
    )


def test_dockers_own_variables_are_used_if_ours_are_not_set(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "unix:///a", "DOCKER_CONTEXT": "there", "RTBUILD_DOCKER_CONTEXT": "here"}
    settings = load_settings(environment, tmp_path)
    assert (settings.docker_host, settings.docker_context) == ("unix:///a", "here")


def test_only_the_variables_that_pip_reads_its_index_from_are_kept(tmp_path: Path) -> None:
    environment = {
        "PIP_INDEX_URL": "http://127.0.0.1/simple",
        "PIP_EXTRA_INDEX_URL": "http://127.0.0.1/x",
        "SECRET": "1",
    }
    settings = load_settings(environment, tmp_path)
    assert dict(settings.pip_environment) == {"PIP_INDEX_URL": "http://127.0.0.1/simple"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("job = 2", "rtbuild.toml: job: unknown setting"),
        ('jobs = "many"', "rtbuild.toml: jobs: must be a whole number, 1 or more, not 'many'"),
        ("jobs = 0", "rtbuild.toml: jobs: must be a whole number, 1 or more, not 0"),
        ("jobs = true", "rtbuild.toml: jobs: must be a whole number, 1 or more, not True"),
        ("store = 1", "rtbuild.toml: store: must be a folder"),
        ("timeout = nan", "rtbuild.toml: timeout: must be a positive number of seconds, not nan"),
        ('compression = "xz"', "rtbuild.toml: compression: must be 'zstd' or 'gzip', not 'xz'"),
        ("debian_mirrors = [1]", "rtbuild.toml: debian_mirrors: must be a list of URLs or folders"),
        ('debian_mirrors = ["ftp://127.0.0.1"]', "is neither a folder nor an http, https or file URL"),
        ('repository = "Upper:tag"', "must be an image name in lower case"),
        ("jobs = = 1", "rtbuild.toml: is not valid TOML"),
    ],
)
def test_an_error_names_the_file_and_the_setting(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "rtbuild.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings({}, tmp_path)
    assert expected in caught.value.brief
    assert str(tmp_path) in caught.value.brief


def test_a_misspelt_variable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RTBUILD_DEBIAN_MIRROR: unknown setting") as caught:
        load_settings({"RTBUILD_DEBIAN_MIRROR": "/media"}, tmp_path)
    assert caught.value.hint == "did you mean 'RTBUILD_DEBIAN_MIRRORS'?"


def test_a_list_with_an_unclosed_quote(tmp_path: Path) -> None:
    expected = 'environment variable RTBUILD_DEBIAN_MIRRORS: has a quote that is not closed: "/a \'/b"'
    with pytest.raises(UsageError) as caught:
        load_settings({"RTBUILD_DEBIAN_MIRRORS": "/a '/b"}, tmp_path)
    assert caught.value.brief == expected


def test_every_setting_is_documented() -> None:
    """The reference is generated from the string that follows each field."""
    (settings,) = (node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef))
    body = settings.body[1:]
    fields = [node for node in body if isinstance(node, ast.AnnAssign)]
    assert len(fields) == len(dataclasses.fields(Settings))
    for field, doc in zip(body[::2], body[1::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(doc, ast.Expr)


def test_an_unknown_option_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="option 'colour'"):
        load_settings({}, tmp_path, colour="red")


def test_variables_of_ci_scripts_are_ignored(tmp_path: Path) -> None:
    assert load_settings({"RTBUILD_CI_CACHE": "/cache"}, tmp_path) == load_settings({}, tmp_path)


def test_private_packages_are_normalized(tmp_path: Path) -> None:
    settings = load_settings({"RTBUILD_PRIVATE_PACKAGES": "Acme_* secret.tool"}, tmp_path)
    assert settings.private_packages == ("acme-*", "secret-tool")
    with pytest.raises(UsageError, match="'a/b' is not a package name, nor a pattern of names"):
        load_settings({"RTBUILD_PRIVATE_PACKAGES": "a/b"}, tmp_path)


@pytest.mark.parametrize(
    "address", ["http://robot:hunter/2@127.0.0.1/", "ftp://robot:hunter2@127.0.0.1/", "'x@hunter2"]
)
def test_an_invalid_address_with_a_password_is_not_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings({"RTBUILD_PYTHON_INDEXES": address}, tmp_path)
    assert "hunter" not in caught.value.brief


def test_a_pipe_as_settings_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rtbuild.toml")
    assert load_settings({}, tmp_path).retries == 4


def test_the_file_of_another_user_is_not_obeyed(tmp_path: Path) -> None:
    """A planted one above the workspace could have root run any program as its dockerd."""
    require_root()
    file = tmp_path / "rtbuild.toml"
    file.write_text("jobs = 2")
    os.chown(file, NOBODY, NOBODY)
    with pytest.raises(UsageError, match=r"rtbuild\.toml: owned by another user, so it is not obeyed") as caught:
        load_settings({"SUDO_UID": "1"}, tmp_path)
    assert caught.value.hint == f"if you trust it, set RTBUILD_TRUSTED_FOLDERS={tmp_path}"
    for variable, value in (
        ("SUDO_UID", str(NOBODY)),
        ("RTBUILD_TRUSTED_FOLDERS", f"/else:{tmp_path}"),
        ("RTBUILD_TRUSTED_FOLDERS", "*"),
    ):
        assert load_settings({variable: value}, tmp_path).jobs == 2
    os.chown(file, 0, 0)
    with open_folder() as folder, somebody():
        (folder / "rtbuild.toml").write_text("jobs = 2")
        assert load_settings({}, folder).jobs == 2


def test_a_file_that_everybody_can_write_is_not_obeyed(tmp_path: Path) -> None:
    file = tmp_path / "rtbuild.toml"
    file.write_text("jobs = 2")
    file.chmod(0o646)
    with pytest.raises(UsageError, match="every user can write to it, so it is not obeyed"):
        load_settings({}, tmp_path)
    assert load_settings({"RTBUILD_TRUSTED_FOLDERS": str(tmp_path)}, tmp_path).jobs == 2
