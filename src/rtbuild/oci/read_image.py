"""Read images whole, and find whatever in them is not what it says it is.

Everything that a digest can hold is computed anew: the digest and size of every blob, the diff ID of every layer. What
is said twice must be said the same: media types, sizes and platforms in the index, the manifest and the config, and, in
an archive for `docker load`, the images of `manifest.json`. A classic Docker reads that file and nothing else, one with
the containerd image store reads `index.json`, so an image of the former must be one of the latter.

A finding is one line that begins with its place: `blobs/sha256/<hex>: ...`, `index.json: manifests[0]: ...`.

Specification: OCI image specification 1.1, `image-layout.md`, `manifest.md` and `config.md`; Docker image specification
1.2 for `manifest.json`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rtbuild.digest import DiffId, Digest, digest_of, hex_of, parse_digest
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.compression import COMPRESSIONS, PLAIN
from rtbuild.oci.archive import ArchivedFile, ArchiveFiles, ImageSource, blob_path
from rtbuild.oci.archived_documents import ArchivedDocuments
from rtbuild.oci.descriptor import (
    CONFIG,
    INDEXES,
    MANIFESTS,
    Descriptor,
    parse_descriptor,
    parse_descriptors,
)
from rtbuild.oci.names import CONTAINERD_NAME, full_reference, names_of
from rtbuild.text import printable

_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_CONFIGS = {CONFIG, "application/vnd.docker.container.image.v1+json"}
_LAYERS = {
    compression.media_type.replace(PLAIN.media_type, prefix): compression
    for prefix in (PLAIN.media_type, _DOCKER_LAYER)
    for compression in (PLAIN, *COMPRESSIONS.values())
} | {f"{_DOCKER_LAYER}.gzip": COMPRESSIONS["gzip"], f"{_DOCKER_LAYER}.zstd": COMPRESSIONS["zstd"]}
# `docker save` before version 25 writes these beside each layer for readers of the format of 2014.
_LEGACY = re.compile(r"repositories|[^/]+/(VERSION|json)")
_DEPTH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLayer:
    """A layer of an image: the file that holds it, the digest of that file, and of its uncompressed content."""

    path: str
    blob: Digest
    diff_id: DiffId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """An image whose every byte was read.

    Attributes:
        names: Its names, in full.
        config: The digest of its config.
        manifest: The digest of its manifest; None in an archive that has none.
        layers: Its layers, bottom first, without those that are missing or damaged.
        platform: The os and architecture, such as `linux/amd64`.
        labels: The labels in its config.
        on_build: Its ONBUILD triggers.
    """

    names: tuple[str, ...]
    config: Digest
    manifest: Digest | None
    layers: tuple[ReadLayer, ...]
    platform: str
    labels: Mapping[str, str]
    on_build: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What reading gave.

    Attributes:
        title: What was read.
        images: The images in it whose configs could be read.
        entries: The digests that the index itself names: of manifests, or of indexes of several platforms.
        files: How many files were read.
        size: How many bytes were read.
        findings: What is not what it says it is, one line each; empty if everything is.
        notes: What is named but was not there to be read, such as the image for another platform, and the whole blobs
            in a folder that no image refers to, such as those of an image that was replaced.
    """

    title: str
    images: tuple[ReadImage, ...]
    entries: tuple[Digest, ...]
    files: int
    size: int
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_images(source: ImageSource, *, jobs: int = 1) -> Reading:
    """Read every file of `source` and check it.

    Raises:
        StoreError: if `source` has no image, or cannot be read.
        IntegrityError: if it is not an archive, or its index is malformed.
    """
    archive = source.read(jobs)
    findings = list(archive.findings)
    documents = ArchivedDocuments(files=archive.files, findings=findings)
    reader = _Reader(archive=archive, documents=documents, findings=findings)
    if "index.json" in archive.files:
        reader.read_layout()
    if "manifest.json" in archive.files:
        reader.read_docker_manifest()
    if not {"index.json", "manifest.json"} & set(archive.files):
        hint = "name an OCI image layout, its tar, or a tar that `docker save` wrote"
        raise StoreError(f"no image in {source.title}: neither index.json nor manifest.json", hint=hint)
    reader.find_strangers()
    return Reading(
        title=source.title,
        images=tuple(reader.images.values()),
        entries=tuple(reader.entries),
        files=len(archive.files),
        size=archive.size,
        findings=tuple(dict.fromkeys(map(printable, reader.findings))),
        notes=tuple(dict.fromkeys(map(printable, reader.notes))),
    )


@dataclass(slots=True, kw_only=True)
class _Reader:
    """The state of one reading. `used` are the files that something refers to."""

    archive: ArchiveFiles
    documents: ArchivedDocuments
    findings: list[str]
    notes: list[str] = field(default_factory=list)
    images: dict[Digest, ReadImage] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    entries: list[Digest] = field(default_factory=list)

    # --- OCI layouts -------------------------------------------------------------------------------------------------

    def read_layout(self) -> None:
        """Read the index, and every image that it names.

        Raises:
            IntegrityError: if the index is malformed.
        """
        self.used |= {"index.json", "oci-layout"}
        there = "oci-layout" in self.archive.files
        version = self.documents.read_object("oci-layout").get("imageLayoutVersion") if there else None
        if version != "1.0.0":
            self.findings.append(f"oci-layout: the version of the layout is {version!r}, expected '1.0.0'")
        for path, file in self.archive.files.items():
            if path.startswith("blobs/") and path != f"blobs/sha256/{file.sha256}":
                self.findings.append(f"{path}: damaged or swapped: the sha256 of its bytes is {file.sha256}")
        entries = parse_descriptors(self.documents.read_object("index.json"), "manifests", Path("index.json"))
        self.entries = [entry.digest for entry in entries]
        self._read_entries(entries, "index.json", ())

    def _read_entries(self, entries: Sequence[Descriptor], place: str, names: Sequence[str]) -> None:
        depth = place.count("manifests[")
        for number, entry in enumerate(entries):
            where = f"{place}: manifests[{number}]"
            found = (*names, *_full_names(entry))
            if depth and blob_path(entry) not in self.archive.files:
                # Docker writes only the platforms that it has, and the index of all of them.
                platform = "/".join(entry.platform[:2]) if entry.platform else "no platform"
                self.notes.append(f"{where}: {entry.digest} ({platform}) is not there, so it was not read")
                continue
            file = self._blob(entry, where)
            if file is None:
                continue
            try:
                document = self.documents.read_object(file.path)
                self._check_type(document, entry, where)
                if entry.media_type in MANIFESTS:
                    self._read_manifest(document, entry, where, found)
                elif entry.media_type in INDEXES and depth < _DEPTH:
                    self._read_entries(parse_descriptors(document, "manifests", Path(file.path)), where, found)
                else:
                    self.findings.append(f"{where}: the media type {entry.media_type!r} is that of no image")
            except IntegrityError as error:
                self.findings.append(_line(error))

    def _check_type(self, document: Mapping[str, Any], entry: Descriptor, where: str) -> None:
        if document.get("schemaVersion") != 2:
            self.findings.append(f"{where}: schemaVersion is {document.get('schemaVersion')!r}, expected 2")
        own = document.get("mediaType", entry.media_type)
        if own != entry.media_type:
            self.findings.append(f"{where}: the media type is {entry.media_type}, but the blob says {own}")

    def _read_manifest(self, document: dict[str, Any], entry: Descriptor, where: str, names: Sequence[str]) -> None:
        path = Path(blob_path(entry))
        config = parse_descriptor(document.get("config"), f"{path}: config")
        layers = parse_descriptors(document, "layers", path)
        config_file = self._blob(config, f"{path}: config")
        blobs = [self._blob(layer, f"{path}: layers[{number}]") for number, layer in enumerate(layers)]
        if entry.platform is not None and entry.platform[0] == "unknown":
            return  # an attestation of BuildKit: its blobs are no layers
        if config.media_type not in _CONFIGS:
            self.findings.append(f"{path}: config: the media type {config.media_type!r} is that of no image config")
        for number, (layer, blob) in enumerate(zip(layers, blobs, strict=True)):
            expected = _LAYERS.get(layer.media_type)
            if expected is None:
                self.findings.append(
                    f"{path}: layers[{number}]: the media type {layer.media_type!r} is that of no layer"
                )
            elif blob is not None and blob.compression is not expected:
                what = (
                    f"the media type says {expected.name} as compression, but {blob.path} has {blob.compression.name}"
                )
                self.findings.append(f"{path}: layers[{number}]: {what}")
        if config_file is None:
            return
        image = self._read_config(config_file, blobs, names, entry.digest)
        said = "/".join(entry.platform[:2]) if entry.platform else image.platform
        if said != image.platform:
            self.findings.append(f"{where}: the platform is {said}, but the config says {image.platform}")
        known = self.images.get(entry.digest)
        if known is not None:
            image = _called(known, image.names)
        self.images[entry.digest] = image

    def _read_config(
        self, file: ArchivedFile, blobs: Sequence[ArchivedFile | None], names: Sequence[str], manifest: Digest | None
    ) -> ReadImage:
        """Compare a config with the files of its layers.

        Raises:
            IntegrityError: if it is not an image config.
        """
        settings = self.documents.read_object(file.path)
        where = file.path
        rootfs = settings.get("rootfs")
        try:
            diff_ids = [DiffId(parse_digest(text)) for text in settings["rootfs"]["diff_ids"]]
            platform = printable(f"{settings['os']}/{settings['architecture']}")
            labels = {str(name): str(text) for name, text in (_config(settings).get("Labels") or {}).items()}
            on_build = tuple(str(trigger) for trigger in _config(settings).get("OnBuild") or ())
            history = [bool(step.get("empty_layer")) for step in settings.get("history") or ()]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{where}: not an image config", details=repr(error)) from None
        if not isinstance(rootfs, dict) or rootfs.get("type") != "layers":
            self.findings.append(f"{where}: rootfs.type is not 'layers'")
        if history and history.count(False) != len(diff_ids):
            what = f"{history.count(False)} steps of the history made a layer, but there are {len(diff_ids)} diff IDs"
            self.findings.append(f"{where}: {what}")
        if len(diff_ids) != len(blobs):
            self.findings.append(f"{where}: {len(diff_ids)} diff IDs, but the manifest has {len(blobs)} layers")
        for number, (diff_id, blob) in enumerate(zip(diff_ids, blobs, strict=False)):
            if blob is not None and blob.diff_id != diff_id:
                found = f"the diff ID is {blob.diff_id}" if blob.diff_id else blob.damage
                self.findings.append(f"{blob.path}: layer {number}: {found}, but the config says {diff_id}")
        layers = [
            ReadLayer(path=blob.path, blob=digest_of(blob.sha256), diff_id=blob.diff_id)
            for blob in blobs
            if blob and blob.diff_id
        ]
        return ReadImage(
            names=tuple(dict.fromkeys(names)),
            config=digest_of(file.sha256),
            manifest=manifest,
            layers=tuple(layers),
            platform=platform,
            labels=labels,
            on_build=on_build,
        )

    # --- what `docker save` writes -----------------------------------------------------------------------------------

    def read_docker_manifest(self) -> None:
        """Read the images of `manifest.json`; an index beside it must have the same ones.

        Raises:
            IntegrityError: if the file is malformed.
        """
        self.used.add("manifest.json")
        indexed = (
            {image.config: image for image in self.images.values()} if "index.json" in self.archive.files else None
        )
        for number, item in enumerate(self.documents.read_list("manifest.json")):
            where = f"manifest.json: [{number}]"
            try:
                config, paths = str(item["Config"]), [str(path) for path in item["Layers"]]
                names = [full_reference(str(name)) for name in item.get("RepoTags") or ()]
            except (AttributeError, KeyError, TypeError) as error:
                raise IntegrityError(f"{where}: not an image of `docker save`", details=repr(error)) from None
            file = self._member(config, f"{where}: Config")
            blobs = [self._member(path, f"{where}: Layers[{index}]") for index, path in enumerate(paths)]
            if file is None:
                continue
            named_after = re.search(r"[0-9a-f]{64}", config)
            if named_after and named_after[0] != file.sha256:
                self.findings.append(f"{config}: damaged or swapped: the sha256 of its bytes is {file.sha256}")
            try:
                image = self._read_config(file, blobs, names, None)
            except IntegrityError as error:
                self.findings.append(_line(error))
                continue
            if indexed is None:
                self.images[image.config] = image
            elif image.config not in indexed:
                self.findings.append(f"{where}: the image {image.config} is not in index.json")
            else:
                self._compare_names(image, where)

    def _compare_names(self, image: ReadImage, where: str) -> None:
        for name in image.names:
            others = {other.config for other in self.images.values() if name in other.names}
            if others and image.config not in others:
                self.findings.append(
                    f"{where}: {name} is {image.config}, but in index.json {', '.join(sorted(others))}"
                )

    # --- files -------------------------------------------------------------------------------------------------------

    def find_strangers(self) -> None:
        """Find the files that belong to no image."""
        links = {path for path in self.archive.links if self._target(path) in self.used}
        for path in sorted({*self.archive.files, *self.archive.links} - self.used - links):
            if self.archive.grows and re.fullmatch(r"blobs/sha256/[0-9a-f]{64}", path):
                self.notes.append(f"{path}: no image refers to it")
            elif not _LEGACY.fullmatch(path) or "manifest.json" not in self.used:
                self.findings.append(f"{path}: no image refers to it")

    def _blob(self, descriptor: Descriptor, where: str) -> ArchivedFile | None:
        """Return the blob of a descriptor. `read_layout` has compared its digest already."""
        path = blob_path(descriptor)
        self.used.add(path)
        file = self.archive.files.get(path)
        if file is None:
            self.findings.append(f"{where}: the blob {path} is missing")
        elif file.size != descriptor.size:
            self.findings.append(f"{where}: size is {descriptor.size}, but {path} has {file.size} bytes")
        if file is not None and file.sha256 != hex_of(descriptor.digest):
            return None  # reported with its place, and not worth reading further
        return file

    def _member(self, path: str, where: str) -> ArchivedFile | None:
        """Return a file that `manifest.json` names; links of layers are followed."""
        self.used.add(path)
        target = self._target(path)
        file = self.archive.files.get(target)
        if file is None:
            self.findings.append(f"{where}: {path} is missing")
        self.used.add(target)
        return file

    def _target(self, path: str) -> str:
        """Return the path that a symbolic link of the archive leads to, the path itself if it is none."""
        link = self.archive.links.get(path)
        return path if link is None else posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _config(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return settings.get("config") or {}


def _full_names(entry: Descriptor) -> list[str]:
    """Return the names of an index entry in full; one that is only a tag (`8.0.0`) stays as it is."""
    annotations = dict(entry.annotations)
    if CONTAINERD_NAME in annotations:
        return [full_reference(annotations[CONTAINERD_NAME])]
    return names_of(entry)


def _called(image: ReadImage, names: Sequence[str]) -> ReadImage:
    return replace(image, names=tuple(dict.fromkeys((*image.names, *names))))


def _line(error: IntegrityError) -> str:
    return f"{error.brief} ({error.details})" if error.details else error.brief
