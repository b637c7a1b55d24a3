"""Verifying a store, and measuring it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtbuild.digest import canonical_json, sha256_bytes
from rtbuild.oci.descriptor import MANIFEST
from rtbuild.oci.layout import Layout
from rtbuild.oci.names import named
from rtbuild.store.store import Store
from tests.fakes.store_content import put_artifact, put_blob, realisation, record_file


def test_verify_reports_and_removes_what_is_damaged(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    good, bad = put_artifact(store, b"good"), put_artifact(store, b"bad!")
    store.artifact_path(bad.sha256).chmod(0o644)
    store.artifact_path(bad.sha256).write_bytes(b"bad?")
    whole, cut = realisation("python", b"whole"), realisation("airflow", b"cut in half")
    for record, blob in ((whole, b"whole"), (cut, b"cut in half")):
        store.record(record)
        put_blob(store, blob)
    store.layout.blob_path(cut.blob).write_bytes(b"cut")
    for name, content in (("aa", b"wheel"), ("bb", b"whole"), ("cc", None)):
        if content is not None:
            (store.trees / f"{name * 32}.whl").write_bytes(content)
        (store.trees / f"{name * 32}.json").write_text(json.dumps({"sha256": sha256_bytes(b"wheel")}))
    cut_record = record_file(store, cut)
    report = store.verify()
    assert dict(report.bad) == {
        f"artifacts/{bad.sha256}": f"its sha256 is {sha256_bytes(b'bad?')}",
        str(store.layout.blob_path(cut.blob).relative_to(tmp_path)): f"its sha256 is {sha256_bytes(b'cut')}",
        f"trees/{'bb' * 32}.whl": f"its sha256 is {sha256_bytes(b'whole')}",
        f"trees/{'cc' * 32}.json": "the file that it records is missing",
        str(cut_record.relative_to(tmp_path)): "its layer airflow is not in the store",
    }
    assert report.checked == 7
    assert store.has_artifact(good)
    assert not store.has_artifact(bad)
    assert store.realisation(cut.key) is None
    assert store.realisation(whole.key) == whole
    assert sorted(path.name for path in store.trees.iterdir()) == [f"{'aa' * 32}.json", f"{'aa' * 32}.whl"]
    assert store.verify().bad == ()


def test_verify_reads_the_records_of_trees(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for name in ("aa", "bb"):
        key = name * 32
        content = {"key": key, "frames": {"sha256": sha256_bytes(b"frames")}}
        record = {**content, "sha256": sha256_bytes(canonical_json(content))}
        (store.trees / f"{key}.json").write_text(json.dumps(record))
        (store.trees / f"{key}.tar.zst").write_bytes(b"frames")
    path = store.trees / f"{'bb' * 32}.json"
    path.write_text(path.read_text().replace("bb", "aa"))
    assert store.verify().bad == ((f"trees/{'bb' * 32}.tar.zst", "its record is damaged"),)
    assert len(list(store.trees.iterdir())) == 2


def test_verify_leaves_alone_what_has_no_digest_for_a_name(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    (tmp_path / "artifacts" / "README").touch()
    put_blob(store, b"blob")
    (store.layout.blob_files()[0].parent / ".new-123").touch()
    report = store.verify()
    assert (report.checked, report.bytes, report.bad) == (1, 4, ())


def test_verify_removes_a_damaged_realisation(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    record = realisation()
    store.record(record)
    path = record_file(store, record)
    path.write_text("{}")
    assert store.verify().bad == ((str(path.relative_to(tmp_path)), "not a realisation"),)
    assert not path.exists()


def test_du_has_every_kind_of_content(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    before = store.du()
    assert set(before) == {
        "artifacts",
        "partial downloads",
        "layers and images",
        "wheel trees",
        "caches",
        "logs",
        "temporary",
    }
    put_artifact(store, b"x" * 100_000)
    assert store.du()["artifacts"] >= before["artifacts"] + 100_000


@pytest.mark.parametrize("content", [b"", b"[]", b'{"manifests": 1}', b'{"manifests": [{"digest": "md5:1"}]}', b"\xff"])
def test_a_damaged_index_is_named_and_mended(tmp_path: Path, content: bytes) -> None:
    store = Store.open(tmp_path)
    Layout.create(store.layout.root)
    assert store.verify().bad == ()
    (tmp_path / "layout/index.json").write_bytes(content)
    (tmp_path / "layout/oci-layout").write_text("{}")
    (first, _), (second, problem) = store.verify().bad
    assert (first, second) == ("layout/oci-layout", "layout/index.json")
    assert problem.startswith("not an index of images: ")
    assert store.layout.read_index() == ()
    assert store.verify().bad == ()


def test_images_whose_manifest_is_damaged_leave_the_index(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    layout = Layout.create(store.layout.root)
    whole, cut = (layout.put_blob(content, MANIFEST) for content in (b"{}", b"{ }"))
    layout.write_index([*named(whole, ["a:1"]), *named(cut, ["a:2"])])
    path = layout.blob_path(cut.digest)
    path.chmod(0o644)
    path.write_bytes(b"{")
    assert dict(store.verify().bad)["layout/index.json"].startswith("images without a manifest: ")
    assert [entry.digest for entry in layout.read_index()] == [whole.digest]


def test_verify_does_not_make_a_layout(tmp_path: Path) -> None:
    assert Store.open(tmp_path).verify().bad == ()
    assert list((tmp_path / "layout").iterdir()) == []
