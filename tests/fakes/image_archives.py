"""Images as the files of an archive, which a test may tamper with before it writes them to a folder or a tar."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rtbuild.formats.frames import DEFAULT, Compressor, decompress

Files = dict[str, bytes]
"""The content of each file by its path."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob(content: bytes) -> str:
    """The path that a layout keeps `content` under."""
    return f"blobs/sha256/{sha256(content)}"


def layer_tar(text: str, mode: int = 0o644) -> bytes:
    """A tar with the one file `f`."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("f")
        info.size, info.mode = len(text), mode
        archive.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


def config_of(*layers: bytes, **settings: Any) -> bytes:
    return json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": settings,
            "history": [{"created_by": "test"} for _ in layers],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}" for layer in layers]},
        }
    ).encode()


def layout_files(*layers: bytes, name: str = "team/image:1.0", compressor: Compressor | None = DEFAULT) -> Files:
    """An OCI layout with one image of these plain layers, compressed unless `compressor` is None."""
    blobs = [compressor.frame(layer) if compressor else layer for layer in layers]
    suffix = f"+{compressor.compression.name}" if compressor else ""
    config = config_of(*layers, Labels={"org.opencontainers.image.version": "1.0"})
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [described(content, f"application/vnd.oci.image.layer.v1.tar{suffix}") for content in blobs],
    }
    content = json.dumps(manifest).encode()
    entry = {
        **described(content, manifest["mediaType"]),
        "platform": {"os": "linux", "architecture": "amd64"},
        "annotations": {"io.containerd.image.name": f"docker.io/{name}", "org.opencontainers.image.ref.name": "1.0"},
    }
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        **{blob(content): content for content in (content, config, *blobs)},
    }


def docker_files(*layers: bytes, name: str = "team/image:1.0") -> Files:
    """What `docker save` wrote before version 25: no index, plain layers, each in a folder of its own."""
    config = config_of(*layers)
    folders = [sha256(layer + b"id") for layer in layers]
    item = {
        "Config": f"{sha256(config)}.json",
        "RepoTags": [name],
        "Layers": [f"{folder}/layer.tar" for folder in folders],
    }
    files = {"manifest.json": json.dumps([item]).encode(), "repositories": b"{}", f"{sha256(config)}.json": config}
    for folder, layer in zip(folders, layers, strict=True):
        files |= {f"{folder}/layer.tar": layer, f"{folder}/VERSION": b"1.0", f"{folder}/json": b"{}"}
    return files


def described(content: bytes, media_type: object) -> dict[str, Any]:
    """The descriptor of a blob."""
    return {"mediaType": media_type, "digest": f"sha256:{sha256(content)}", "size": len(content)}


def index(files: Mapping[str, bytes]) -> dict[str, Any]:
    document = json.loads(files["index.json"])
    assert isinstance(document, dict)
    return document


def manifest(files: Mapping[str, bytes]) -> tuple[str, dict[str, Any]]:
    """The path and the content of the first manifest."""
    path = "blobs/sha256/" + index(files)["manifests"][0]["digest"].removeprefix("sha256:")
    return path, json.loads(files[path])


def config(files: Mapping[str, bytes]) -> tuple[str, dict[str, Any]]:
    """The path and the content of the first image's config."""
    path = "blobs/sha256/" + manifest(files)[1]["config"]["digest"].removeprefix("sha256:")
    return path, json.loads(files[path])


def layer_paths(files: Mapping[str, bytes]) -> list[str]:
    """The blobs of the first image's layers."""
    return ["blobs/sha256/" + layer["digest"].removeprefix("sha256:") for layer in manifest(files)[1]["layers"]]


def edit_index(files: Files, change: Callable[[dict[str, Any]], object]) -> None:
    document = index(files)
    change(document)
    files["index.json"] = json.dumps(document).encode()


def edit_manifest(files: Files, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the first manifest and let the index refer to the new one, as a careful attacker does."""
    path, document = manifest(files)
    change(document)
    replace_manifest(files, path, json.dumps(document).encode())


def replace_manifest(files: Files, path: str, content: bytes) -> None:
    del files[path]
    files[blob(content)] = content
    edit_index(files, lambda it: it["manifests"][0].update(digest=f"sha256:{sha256(content)}", size=len(content)))


def edit_config(files: Files, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the first config and let the manifest refer to the new one."""
    path, document = config(files)
    change(document)
    content = json.dumps(document).encode()
    del files[path]
    files[blob(content)] = content
    edit_manifest(files, lambda it: it["config"].update(digest=f"sha256:{sha256(content)}", size=len(content)))


def replace_layer(files: Files, number: int, content: bytes) -> None:
    """Put another blob in the place of a layer, in the manifest too; the config stays."""
    del files[layer_paths(files)[number]]
    files[blob(content)] = content
    edit_manifest(files, lambda it: it["layers"][number].update(digest=f"sha256:{sha256(content)}", size=len(content)))


def write_folder(files: Mapping[str, bytes], root: Path) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def write_tar(files: Mapping[str, bytes], path: Path, links: Mapping[str, str] | None = None, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # the mode is a text
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def read_folder(root: Path) -> Files:
    """The files of a layout."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def keep_image(files: Files, number: int) -> None:
    """Take every image but one out of a layout, with the blobs that only others have."""
    listed = index(files)["manifests"]
    edit_index(files, lambda it: it.update(manifests=[listed[number]]))
    used = {"index.json", "oci-layout", manifest(files)[0], config(files)[0], *layer_paths(files)}
    for path in set(files) - used:
        del files[path]


def saved_before_25(files: Files) -> Files:
    """The first image of a layout as `docker save` wrote it before version 25."""
    path, _ = config(files)
    name = index(files)["manifests"][0]["annotations"]["io.containerd.image.name"]
    layers = [b"".join(decompress(io.BytesIO(files[layer]))) for layer in layer_paths(files)]
    saved = docker_files(*layers, name=name)
    (item,) = json.loads(saved["manifest.json"])
    del saved[item["Config"]]
    item["Config"] = f"{sha256(files[path])}.json"
    return saved | {"manifest.json": json.dumps([item]).encode(), item["Config"]: files[path]}
