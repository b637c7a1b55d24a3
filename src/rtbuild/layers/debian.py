"""Build Debian layers: the real dpkg and maintainer scripts run in BuildKit, then the result is made canonical.

Measured: dpkg takes 14 s for 150 packages and leaves three files that differ from run to run; the recipe removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from rtbuild.derivations.derivation import Derivation, apt_suites, removals_of
from rtbuild.digest import sha256_bytes
from rtbuild.errors import BuildError
from rtbuild.formats.keystore import canonical_keystore
from rtbuild.formats.tar_entry import DIRECTORY, SYMLINK, Entry
from rtbuild.inside import read_script
from rtbuild.layers.parent import exported_layers, parent_image, uncompressed_layer
from rtbuild.layers.scripts import may_hold_private_keys, private_keys, rule_removals
from rtbuild.layers.unpack import Package, Root, read_root, unpack_for_dpkg
from rtbuild.lockfile.model import DebArtifact
from rtbuild.lockfile.python import standard_library
from rtbuild.oci.layer import LayerDigest, LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout
from rtbuild.oci.merge import removal_matcher
from rtbuild.recipe.model import DebianLayer, InstalledFile, Release
from rtbuild.store.realisation import Realisation
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.toolroot import merged_folders, tool_debs

_FIRST = (("base-passwd", "base-files"), ("dpkg", "libc6", "perl-base", "mawk", "debconf"))
"""Packages to configure before dpkg can unpack any others, group by group: accounts and folders, then the programs that
maintainer scripts of essential packages run."""

_AWK = "mawk"  # essential because base-files pre-depends on the virtual package awk

_DOCUMENTATION = tuple(f"/usr/share/{name}/" for name in ("doc", "info", "lintian", "locale"))
"""What no maintainer script may need: Debian Policy 12.3 says so of the first, and Debian's slim images leave all of it
out. They leave out manual pages too, but without these update-alternatives makes no links to them."""

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
        context, contents = folder / "context", folder / "contents.tar"
        context.mkdir()
        plain = [uncompressed_layer(realisation, folder, environment) for realisation in below]
        packages = _packages(layer, derivation, environment)
        root = read_root(plain) if plain else Root(links=merged_folders(derivation.debs))
        whole = unpack_for_dpkg(
            packages, root, contents, context, jobs=environment.jobs, left_out=_documentation(release, layer)
        )
        _write_instructions(layer, derivation, whole, context)
        parent = parent_image(below, contents, folder / "parent", derivation.platform, environment)
        parent.link_layers(Layout.create(folder / "export"))
        environment.engine.build(
            context,
            contexts={"parent": parent.reference},
            output=folder / "export",
            platform=derivation.platform,
            log=environment.log(f"{release.version}-{derivation.platform.slug}-{layer.name}"),
            title=task,
            on_line=environment.follow(task),
        )
        raw = [contents, *exported_layers(folder / "export", below=len(parent.layers))]
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


def _packages(layer: DebianLayer, derivation: Derivation, environment: BuildEnvironment) -> list[Package]:
    """Return the packages in the order of the lock; what dpkg needs before it can run comes first."""
    debs = derivation.debs
    needed: Collection[str] = ()
    if layer.parent is None:
        essential = [deb.name for deb in debs if deb.essential]
        needed = {deb.name for deb in tool_debs(debs, [*essential, _AWK])}
        if (layer.users or layer.groups) and not any(deb.name == "passwd" for deb in debs):
            # Debian 13 no longer brings it along.
            hint = f"add passwd to the packages of recipes/layers/{layer.name}.toml, and lock again"
            raise BuildError(f"layer {layer.name} has accounts, but no package that creates them", hint=hint)
    packages = [
        Package(
            filename=deb.filename,
            deb=environment.store.artifact_path(deb.sha256),
            bootstrap=deb.name in needed,
        )
        for deb in debs
    ]
    return sorted(packages, key=lambda package: not package.bootstrap)


def _documentation(release: Release, layer: DebianLayer) -> Callable[[str], object]:
    """Return what tells of a path whether it is documentation that the recipe removes, but copies nowhere."""
    removals = [removal for removal in removals_of(release, layer) if removal.pattern.startswith(_DOCUMENTATION)]
    if not removals:
        return lambda path: None
    removed = removal_matcher(removals)
    copied = {file.copy_of for file in layer.files}
    return lambda path: path not in copied and removed(path)


def _steps(debs: Sequence[DebArtifact], whole: Collection[str], *, first: bool) -> Iterator[str]:
    """Yield what dpkg does, step by step: `thin` or `whole` and files to unpack, or `configure`."""
    rest = [deb.filename for deb in debs]
    if first:
        filenames = {deb.name: deb.filename for deb in debs}
        for group in _FIRST:
            present = [filenames[name] for name in group if name in filenames]
            if present:
                yield from _unpacking(present, whole)
                yield "configure --force-depends"
            rest = [filename for filename in rest if filename not in present]
    yield from _unpacking(rest, whole)
    yield "configure"


def _unpacking(filenames: Iterable[str], whole: Collection[str]) -> Iterator[str]:
    for is_whole, batch in groupby(filenames, key=whole.__contains__):
        kind = "whole" if is_whole else "thin"
        yield " ".join([kind, *(f"{kind}/{filename}" for filename in batch)])


def _write_instructions(layer: DebianLayer, derivation: Derivation, whole: Collection[str], context: Path) -> None:
    """Write the scripts that run in the container, and what they do."""
    for name in _SCRIPTS:
        (context / name).write_bytes(read_script(name))
    series = standard_library(derivation.debs)
    lines = {
        "epoch": [str(derivation.epoch)],
        "steps": _steps(derivation.debs, whole, first=layer.parent is None),
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
    (context / "Dockerfile").write_text(
        "FROM parent\n"
        "RUN --network=none --mount=type=bind,target=/rtbuild --mount=type=tmpfs,target=/tmp "
        '["/bin/sh", "/rtbuild/install_packages.sh"]\n',
        encoding="utf-8",
    )


def _copied(file: InstalledFile) -> str:
    # A line for each: a path may hold any other separator.
    return f"{file.copy_of}\n{file.path}\n{file.mode:o}\n{file.uid}\n{file.gid}"
