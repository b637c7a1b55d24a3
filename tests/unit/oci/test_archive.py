"""Reading every file of a folder or a tar."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.frames import COMPRESSORS
from rtbuild.oci import archive
from rtbuild.oci.archive import FolderSource, StoredSource, read_file, tar_file
from rtbuild.oci.layout import Layout
from rtbuild.oci.names import named
from tests.fakes.image_archives import layer_tar, layout_files, sha256, write_folder, write_tar
from tests.fakes.small_images import put_image

FILES = layout_files(layer_tar("a"), layer_tar("b"))


@pytest.mark.parametrize("name", [None, "zstd", "gzip"])
def test_a_file_has_the_digest_of_its_bytes_and_of_its_content(name: str | None) -> None:
    content = layer_tar("hello")
    stored = COMPRESSORS[name]().frame(content) if name else content
    found = read_file("layer", io.BytesIO(stored))
    assert (found.sha256, found.size, found.damage) == (sha256(stored), len(stored), "")
    assert (found.diff_id, found.compression.name) == (f"sha256:{sha256(content)}", name or "none")
    assert found.content is None


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize("damage", [lambda blob: blob[:-3], lambda blob: blob[:40] + b"?" * 40 + blob[80:]])
def test_damaged_compressed_data_has_a_digest_and_no_diff_id(name: str, damage: object) -> None:
    assert callable(damage)
    stored = damage(COMPRESSORS[name]().frame(bytes(range(256)) * 600))
    found = read_file("layer", io.BytesIO(stored))
    assert (found.sha256, found.size, found.diff_id) == (sha256(stored), len(stored), None)
    assert "compressed data" in found.damage


def test_only_small_documents_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_file("x", io.BytesIO(b'{"a": 1}')).content == b'{"a": 1}'
    assert read_file("x", io.BytesIO(b"[]")).content == b"[]"
    assert read_file("x", io.BytesIO(b"")).content is None
    monkeypatch.setattr(archive, "DOCUMENT_LIMIT", 7)
    assert read_file("x", io.BytesIO(b'{"a": 1}')).content is None


def test_a_bomb_of_compressed_zeros_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "UNCOMPRESSED_LIMIT", 1 << 20)
    bomb = gzip.compress(bytes(8 << 20))
    found = read_file("layer", io.BytesIO(bomb))
    assert (found.diff_id, found.sha256) == (None, sha256(bomb))
    assert "when uncompressed" in found.damage


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_and_a_folder_give_the_same(tmp_path: Path, mode: str) -> None:
    folder = FolderSource(write_folder(FILES, tmp_path / "folder"))
    tar = tar_file(write_tar(FILES, tmp_path / "image.tar", mode=mode))
    for source in (folder, tar):
        found = source.read(2)
        assert {path: file.sha256 for path, file in found.files.items()} == {
            path: sha256(content) for path, content in FILES.items()
        }
        assert found.size == sum(map(len, FILES.values()))
        assert (found.findings, found.links) == ((), {})
        for path, content in FILES.items():
            with source.open(path) as stream:
                assert stream.read() == content


def test_what_is_neither_a_file_nor_a_folder_is_found_and_not_read(tmp_path: Path) -> None:
    import os

    root = write_folder(FILES, tmp_path / "folder")
    os.mkfifo(root / "blobs" / "pipe")
    (root / "blobs" / "link").symlink_to("/etc/passwd")
    (root / "outside").symlink_to("/etc")
    found = FolderSource(root).read(1)
    assert found.findings == tuple(
        f"{path}: neither a file nor a folder" for path in ("blobs/link", "blobs/pipe", "outside")
    )
    assert set(found.files) == set(FILES)


def test_members_of_a_tar_that_do_not_belong_there(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as writer:
        for name in ("index.json", "./index.json"):
            info = tarfile.TarInfo(name)
            info.size = 2
            writer.addfile(info, io.BytesIO(b"{}"))
        info = tarfile.TarInfo("hard")
        info.type, info.linkname = tarfile.LNKTYPE, "index.json"
        writer.addfile(info)
    assert tar_file(path).read(1).findings == (
        "index.json: twice in the archive",
        "hard: neither a file nor a folder",
    )


@pytest.mark.parametrize("size", [100, 700, 2000])
def test_a_tar_that_breaks_off(tmp_path: Path, size: int) -> None:
    whole = write_tar(FILES, tmp_path / "image.tar").read_bytes()
    (tmp_path / "short.tar").write_bytes(whole[:size])
    with pytest.raises(IntegrityError, match=r"short\.tar: cannot be read as an archive"):
        tar_file(tmp_path / "short.tar").read(1)


def test_a_tar_has_a_limit_of_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ALL_DOCUMENTS_LIMIT", 2 << 20)
    files = {str(number): b"{".ljust(1 << 20) for number in range(3)}
    with pytest.raises(IntegrityError, match="more than 2 MiB of documents"):
        tar_file(write_tar(files, tmp_path / "three.tar.gz", mode="w:gz")).read(1)
    del files["2"]
    assert len(tar_file(write_tar(files, tmp_path / "two.tar.gz", mode="w:gz")).read(1).files) == 2


def test_a_tar_has_a_limit_of_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MOST_MEMBERS", len(FILES))
    assert tar_file(write_tar(FILES, tmp_path / "image.tar")).read(1).files.keys() == FILES.keys()
    with pytest.raises(IntegrityError, match=f"more than {len(FILES)} files"):
        tar_file(write_tar({**FILES, "one": b""}, tmp_path / "more.tar")).read(1)


def test_a_folder_without_an_image(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no OCI image layout at"):
        FolderSource(tmp_path).read(1)


def test_files_that_are_gone(tmp_path: Path) -> None:
    tar = tar_file(write_tar({"a": b"1"}, tmp_path / "image.tar"))
    with pytest.raises(StoreError, match="b is not there any more"), tar.open("b"):
        pass
    with pytest.raises(StoreError, match="cannot read"), tar_file(tmp_path / "other.tar").open("a"):
        pass
    with pytest.raises(StoreError, match="cannot read"), FolderSource(tmp_path).open("a"):
        pass


def test_of_a_layout_with_many_images_only_those_asked_for_are_read(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path)
    one, other = put_image(layout, "one"), put_image(layout, "other")
    layout.list_images([*named(one, ["x:1"]), *named(other, ["x:2"])])
    source = StoredSource(layout, named(one, ["x:1"]), "the store")
    found = source.read(1)
    assert len(found.files) == 5  # oci-layout, index.json, manifest, config, layer
    assert f"blobs/sha256/{one.digest[7:]}" in found.files
    assert f"blobs/sha256/{other.digest[7:]}" not in found.files
    with source.open(f"blobs/sha256/{one.digest[7:]}") as stream:
        assert sha256(stream.read()) == one.digest[7:]
