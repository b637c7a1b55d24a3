"""Reading patches: the record, the diff beside it, and the releases that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.recipe.patches import patched_version
from rtbuild.recipe.read import read_release
from tests.fakes.patches import PATCH, RECORD, write_patch
from tests.fakes.workspaces import PROVIDERS, RELEASE, put, refusal, write_workspace

NAMED = 'patches = ["more"]\n' + RELEASE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace whose release has one patch."""
    write_patch(tmp_path, "more")
    return write_workspace(tmp_path, release=NAMED)


def test_a_patch_is_read_with_its_release(root: Path) -> None:
    (patch,) = read_release(root, "8.0.0").patches
    assert (patch.id, patch.kind, patch.package, patch.version) == (
        "more",
        "product",
        "apache-airflow-providers-http",
        "4.3.0",
    )
    assert [diff.path for diff in patch.diffs] == ["http/hooks.py"]


def test_both_files_are_inputs_of_the_release(root: Path) -> None:
    before = dict(read_release(root, "8.0.0").inputs)
    assert before["recipes/patches/more.patch"] == sha256_bytes(PATCH.encode())
    write_patch(root, "more", RECORD.replace("More", "Many more"), PATCH.replace("LIMIT = 2", "LIMIT = 3"))
    after = dict(read_release(root, "8.0.0").inputs)
    assert {name for name in after if after[name] != before.get(name)} == {
        "recipes/patches/more.patch",
        "recipes/patches/more.toml",
    }


def test_a_release_has_its_patches_in_the_order_in_which_it_names_them(root: Path) -> None:
    write_patch(root, "again")
    put(root / "recipes" / "releases" / "8.0.0.toml", NAMED.replace('["more"]', '["more", "again"]'))
    assert [patch.id for patch in read_release(root, "8.0.0").patches] == ["more", "again"]


def test_a_release_without_patches_has_none(tmp_path: Path) -> None:
    release = read_release(write_workspace(tmp_path), "8.0.0")
    assert release.patches == ()
    assert not any("patches" in name for name, _ in release.inputs)


@pytest.mark.parametrize(
    ("version", "count", "expected"), [("1.0", 0, "1.0"), ("0.23.0", 1, "0.23.0+astro.1"), ("2", 12, "2+astro.12")]
)
def test_versions_count_patches(version: str, count: int, expected: str) -> None:
    assert patched_version(version, count) == expected


@pytest.mark.parametrize(
    ("old", "new", "brief"),
    [
        ('kind = "product"', 'kind = "wish"', "recipes/patches/more.toml: kind: unknown kind 'wish'"),
        ('kind = "product"', 'kinds = "product"', "recipes/patches/more.toml: kind: is missing"),
        ('version = "4.3.0"', 'version = "four"', "version: 'four': not a version (PEP 440)"),
        ('version = "4.3.0"', 'version = "4.3.0+astro.1"', "version: '4.3.0+astro.1': a version with a local part"),
        ('version = "4.3.0"', 'version = "4.3.0"\nobsolete = "4.3.0"', "obsolete: 4.3.0 is not newer than 4.3.0"),
        ('version = "4.3.0"', 'version = "4.3.0"\nobsolete = "next"', "obsolete: 'next': not a version"),
        ('version = "4.3.0"', 'version = "4.3.0"\nsha256 = "abc"', "sha256: 'abc': not a sha256"),
        ("apache-airflow-providers-http", "Apache_Airflow_Providers_HTTP", "package: 'Apache_Airflow_Providers_HTTP'"),
        ("apache-airflow-providers-http", "http>=4", "package: 'http>=4': not a normalised name"),
        ('kind = "product"', 'kind = "backport"', "upstream: is missing: a backport must name the upstream change"),
        ('kind = "product"', 'kind = "backport"\nupstream = "#1"', "obsolete: is missing: a backport must name"),
        ('kind = "product"', 'kind = "revert"', "upstream: is missing: a revert must name the upstream change"),
        ('kind = "product"', 'kind = "security"', "upstream: is missing: a security must name the upstream change"),
        ("\ntitle =", "\nauthor = 1\ntitle =", "author: unknown field"),
    ],
)
def test_bad_records(root: Path, old: str, new: str, brief: str) -> None:
    assert old in RECORD
    write_patch(root, "more", RECORD.replace(old, new))
    error = refusal(root)
    assert error.brief.startswith("recipes/patches/more.toml: ")
    assert brief in error.brief


def test_a_missing_patch(root: Path) -> None:
    (root / "recipes" / "patches" / "more.toml").rename(root / "recipes" / "patches" / "less.toml")
    error = refusal(root)
    assert error.brief == "recipes/releases/8.0.0.toml: patches[0]: no such file: recipes/patches/more.toml"
    assert error.hint == "known patches: less"


def test_a_patch_that_is_named_twice(root: Path) -> None:
    put(root / "recipes" / "releases" / "8.0.0.toml", NAMED.replace('["more"]', '["more", "more"]'))
    assert refusal(root).brief == "recipes/releases/8.0.0.toml: patches[1]: 'more' is listed twice"


def test_an_id_that_is_a_path(root: Path) -> None:
    put(root / "recipes" / "releases" / "8.0.0.toml", NAMED.replace('["more"]', '["../patches/more"]'))
    assert refusal(root).brief.startswith("recipes/releases/8.0.0.toml: patches[0]: '../patches/more': expected")


def test_a_missing_diff(root: Path) -> None:
    (root / "recipes" / "patches" / "more.patch").unlink()
    assert refusal(root).brief == "recipes/patches/more.patch: no such file"


def test_a_diff_that_was_edited(root: Path) -> None:
    text = PATCH.replace("LIMIT = 2", "LIMIT = 3")
    (root / "recipes" / "patches" / "more.patch").write_text(text)
    error = refusal(root)
    digest = sha256_bytes(text.encode())
    assert error.brief == "recipes/patches/more.patch: does not match the sha256 in recipes/patches/more.toml"
    assert error.hint == f'if the change is intended, set sha256 = "{digest}" in recipes/patches/more.toml'


def test_a_diff_that_leads_out_of_the_folder(root: Path) -> None:
    path = root / "recipes" / "patches" / "more.patch"
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert refusal(root).brief == "recipes/patches/more.patch: cannot be read: a link leads out of patches/"


def test_a_malformed_diff(root: Path) -> None:
    write_patch(root, "more", text=PATCH.replace("@@ -1,3", "@ -1,3"))
    assert refusal(root).brief.startswith("recipes/patches/more.patch: line 5: neither a hunk nor a file; found '@ -1,")


def test_metadata_cannot_be_patched(root: Path) -> None:
    write_patch(root, "more", text=PATCH.replace("http/hooks.py", "http-4.3.0.dist-info/METADATA"))
    error = refusal(root)
    assert error.brief.startswith("recipes/patches/more.patch: line 3: http-4.3.0.dist-info/METADATA is metadata")


def test_a_patch_for_another_version_than_the_release_pins(root: Path) -> None:
    write_patch(root, "more", RECORD.replace("4.3.0", "4.2.0"))
    error = refusal(root)
    assert error.brief == (
        "recipes/releases/8.0.0.toml: patches[0]: "
        "more is for apache-airflow-providers-http 4.2.0, but the release has 4.3.0"
    )
    assert error.hint is not None
    assert "make another patch for that version" in error.hint


def test_a_patch_that_is_obsolete(root: Path) -> None:
    write_patch(root, "more", RECORD.replace("4.3.0", "4.2.0") + 'obsolete = "4.3"\n')
    error = refusal(root)
    assert error.hint == ("remove it from the release's patches: apache-airflow-providers-http 4.3 no longer needs it")


def test_a_patch_for_airflow_itself(root: Path) -> None:
    write_patch(root, "more", RECORD.replace("-providers-http", "").replace("4.3.0", "2.6.0"))
    assert read_release(root, "8.0.0").patches[0].package == "apache-airflow"
    write_patch(root, "more", RECORD.replace("-providers-http", "").replace("4.3.0", "2.6.1"))
    assert "is for apache-airflow 2.6.1, but the release has 2.6.0" in refusal(root).brief


def test_local_packages_cannot_be_patched(root: Path) -> None:
    put(root / "recipes" / "layers" / "extra.toml", PROVIDERS + '[[packages]]\nsource = "gate"\n')
    folder = root / "recipes" / "layers" / "extra" / "gate"
    put(folder / "src" / "gate.py", "x = 1\n")
    project = '[project]\nname = "gate"\nversion = "1.0"\n[build-system]\nrequires = ["setuptools"]\n'
    put(folder / "pyproject.toml", project)
    write_patch(root, "more", RECORD.replace("apache-airflow-providers-http", "gate").replace("4.3.0", "1.0"))
    put(root / "recipes" / "releases" / "8.0.0.toml", NAMED.replace('"providers"]', '"providers", "extra"]'))
    error = refusal(root)
    assert error.brief == "recipes/releases/8.0.0.toml: patches[0]: more is for gate, which is a local package"
    assert error.hint == "change its source instead"
