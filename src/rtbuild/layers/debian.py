"""Build Debian layers: the real dpkg and maintainer scripts run in BuildKit, then the result is made canonical.

Measured: dpkg takes 14 s for 150 packages and leaves three files that differ from run to run; the recipe removes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rtbuild.derivations.derivation import Derivation, apt_suites, removals_of
from rtbuild.digest import sha256_bytes
from rtbuild.engine.build import layout_reference
from rtbuild.errors import BuildError
from rtbuild.files import link_file
from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.keystore import canonical_keystore
from rtbuild.formats.tar_entry import DIRECTORY, SYMLINK, Entry
from rtbuild.inside import read_script
from rtbuild.layers.scripts import may_hold_private_keys, private_keys, rule_removals
from rtbuild.lockfile.model import DebArtifact
from rtbuild.lockfile.python import standard_library
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest
from rtbuild.oci.layer import LayerDigest, LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.platform import Platform
from rtbuild.recipe.model import DebianLayer, ImageSettings, InstalledFile, Release
from rtbuild.store.realisation import Realisation
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.toolroot import merged_folders, tool_debs, unpack_debs

_FIRST = (("base-passwd", "base-files"), ("dpkg", "libc6", "perl-base", "mawk", "debconf"))
"""Packages to configure before dpkg can unpack any others, group by group: accounts and folders, then the programs that
maintainer scripts of essential packages run."""

_AWK = "mawk"  # essential because base-files pre-depends on the virtual package awk

_CHUNK = 1 << 20

_SCRIPTS = ("install_packages.sh", "compile_stdlib.py", "compile_wheels.py")


def realise_debian(
    release: Release,
    layer: DebianLayer,
    derivation: Derivation,
    below: Sequence[Realisation],
    environment: BuildEnvironment,
) -> LayerDigest:
    """Build the layer of `derivation` on the layers `below` and put it into the store's layout.

    The artifacts must be in the store, verified.

    Args:
        release: The release.
        layer: The layer.
        derivation: Its derivation.
        below: The layers below it, bottom first; none for the lowest layer.
        environment: The environment of the build.

    Raises:
        BuildError: if the build fails; its details are the end of the log.
        EngineError: if the engine fails.
        StoreError: if the store cannot be read or written.
    """
    task = f"layer {layer.name}"
    environment.progress.begin(task)
    with environment.store.temporary(f"layer-{layer.name}") as folder:
        context = folder / "context"
        _write_context(layer, derivation, context, environment)
        contexts = {}
        if below:
            contexts["parent"] = _parent_reference(below, folder / "parent", derivation.platform, environment)
            # An export skips blobs that are in its layout already.
            exported = Layout.create(folder / "export")
            for realisation in below:
                link_file(environment.layout.blob_path(realisation.blob), exported.blob_path(realisation.blob))
        environment.engine.build(
            context,
            contexts=contexts,
            output=folder / "export",
            platform=derivation.platform,
            log=environment.log(f"{release.version}-{derivation.platform.slug}-{layer.name}"),
            title=task,
            on_line=environment.follow(task),
        )
        raw = _exported_layers(folder / "export", below=len(below))
        plain = [_uncompressed(realisation, folder, environment) for realisation in below]
        with LayerWriter(environment.layout, compressor=environment.compressor, workers=environment.jobs) as writer:
            digest = canonical_layer(
                raw,
                writer,
                epoch=derivation.epoch,
                removals=(*removals_of(release, layer), *rule_removals(derivation.rules, raw)),
                transforms={
                    path.lstrip("/"): partial(canonical_keystore, epoch=derivation.epoch)
                    for rule in derivation.rules
                    for path in rule.keystores
                },
                extra=installed_entries(layer.files, derivation.epoch),
                below=plain or None,
            )
        keys = private_keys(environment.layout.blob_path(digest.blob)) if may_hold_private_keys(raw) else ()
    if keys:
        environment.progress.note(private_keys_text(layer.name, keys))
    return digest


def private_keys_text(layer: str, paths: Sequence[str]) -> str:
    """Return the warning that the scripts of packages made private keys in a layer."""
    return f"warning: layer {layer} has private keys that the scripts of packages made: {', '.join(paths)}"


def installed_entries(files: Iterable[InstalledFile], epoch: int) -> Iterator[tuple[Entry, bytes]]:
    """Yield the tar members of the files that a recipe installs, except copies, which are made during the build.

    Raises:
        BuildError: if a file has changed since its recipe was read.
    """
    for file in files:
        if file.copy_of is not None:
            continue
        entry = Entry(path=file.path.lstrip("/"), mode=file.mode, uid=file.uid, gid=file.gid, mtime=epoch)
        content = b""
        if file.source is not None:
            content = file.source.read_bytes()
            if sha256_bytes(content) != file.sha256:
                raise BuildError(f"{file.source} was changed during the build", hint="run the command again")
            entry.size = len(content)
        elif file.content is not None:
            content = file.content.encode()
            entry.size = len(content)
        elif file.link is not None:
            entry.type, entry.link, entry.mode = SYMLINK, file.link, 0o777
        else:
            entry.type = DIRECTORY
        yield entry, content


def _write_context(layer: DebianLayer, derivation: Derivation, context: Path, environment: BuildEnvironment) -> None:
    """Write the build context: hard links to the packages, instructions for them, and the scripts that install them."""
    debs = derivation.debs
    (context / "debs").mkdir(parents=True)
    for deb in debs:
        link_file(environment.store.artifact_path(deb.sha256), context / "debs" / deb.filename)
    for name in _SCRIPTS:
        (context / name).write_bytes(read_script(name))
    series = standard_library(debs)
    lines = {
        "epoch": [str(derivation.epoch)],
        "order": [deb.filename for deb in debs],
        "first": [" ".join(group) for group in _first_groups(debs)],
        "groups": [f"{group.name}:{group.gid}" for group in layer.groups],
        "users": [
            f"{user.name}:{user.uid}:{user.gid}:{user.home}:{user.shell}:{','.join(user.groups)}"
            for user in layer.users
        ],
        "copies": [_copied(file) for file in layer.files if file.copy_of and not file.apt_sources],
        "sources": [_copied(file) for file in layer.files if file.apt_sources],
        "suites": [" ".join(suite) for suite in apt_suites(layer, derivation.platform)],
        "python": [f"/usr/bin/python{series}"] if series else [],
    }
    for name, content in lines.items():
        (context / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    start = "FROM parent"
    if layer.parent is None:
        essential = [deb.name for deb in debs if deb.essential]
        bootstrap = tool_debs(debs, [*essential, _AWK])
        if (layer.users or layer.groups) and not any(deb.name == "passwd" for deb in debs):
            # Debian 13 no longer brings it along.
            hint = f"add passwd to the packages of recipes/layers/{layer.name}.toml, and lock again"
            raise BuildError(f"layer {layer.name} has accounts, but no package that creates them", hint=hint)
        unpack_debs(
            [environment.store.artifact_path(deb.sha256) for deb in bootstrap],
            context / "root.tar",
            jobs=environment.jobs,
            links=merged_folders(debs),
        )
        start = "FROM scratch\nADD root.tar /"
    (context / "Dockerfile").write_text(
        f"{start}\n"
        "RUN --network=none --mount=type=bind,target=/rtbuild --mount=type=tmpfs,target=/tmp "
        '["/bin/sh", "/rtbuild/install_packages.sh"]\n',
        encoding="utf-8",
    )


def _copied(file: InstalledFile) -> str:
    # A line for each: a path may hold any other separator.
    return f"{file.copy_of}\n{file.path}\n{file.mode:o}\n{file.uid}\n{file.gid}"


def _first_groups(debs: Sequence[DebArtifact]) -> Iterator[tuple[str, ...]]:
    filenames = {deb.name: deb.filename for deb in debs}
    for group in _FIRST:
        present = tuple(filenames[name] for name in group if name in filenames)
        if present:
            yield present


def _uncompressed(realisation: Realisation, folder: Path, environment: BuildEnvironment) -> Path:
    """Write the uncompressed layer into `folder` and return its path: the merge reads it in any order."""
    path = folder / f"{realisation.layer}.tar"
    with open_uncompressed(environment.layout.blob_path(realisation.blob)) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
    return path


def _parent_reference(
    below: Sequence[Realisation], folder: Path, platform: Platform, environment: BuildEnvironment
) -> str:
    """Write an image of the layers `below` and return its reference for BuildKit."""
    layers = [(realisation.layer, realisation.diff_id) for realisation in below]
    config = environment.layout.put_blob(
        image_config(ImageSettings(), platform=platform, epoch=0, layers=layers), CONFIG
    )
    descriptors = [
        Descriptor(media_type=realisation.media_type, digest=realisation.blob, size=realisation.blob_size)
        for realisation in below
    ]
    document = environment.layout.put_blob(manifest(config, descriptors), MANIFEST)
    return layout_reference(
        folder, blobs=environment.layout.root / "blobs", manifest=document.digest, size=document.size
    )


def _exported_layers(export: Path, *, below: int) -> list[Path]:
    """Return the uncompressed layers that were built, bottom first, in the layout that BuildKit wrote to `export`.

    `below` is the number of layers below them.
    """
    layout = Layout.open(export)
    layers = read_stored_image(layout).layers[below:]
    if not layers:
        raise BuildError("the engine exported an image without the new layer")
    return [layout.blob_path(layer.digest) for layer in layers]
