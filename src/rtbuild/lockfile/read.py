"""The lock file: TOML, one artifact one table, sorted, so that two people's changes merge like any text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rtbuild.digest import DiffId, Digest, Key, Sha256, parse_digest, parse_sha256
from rtbuild.errors import LockError
from rtbuild.files import write_atomically
from rtbuild.lockfile.model import (
    VERSION,
    DebArtifact,
    EngineLock,
    ImageResult,
    LayerResult,
    Lock,
    LockedPatch,
    PythonArtifact,
)
from rtbuild.platform import PLATFORMS, platform_named
from rtbuild.recipe.names import debian_name, debian_version, normalized, plain_name, python_version
from rtbuild.recipe.patches import patched_version
from rtbuild.recipe.table import Problems, Table, parse_toml

FOLDER = "runtime.lock"
_MEND = "take the file from version control again, or make it anew with rtbuild lock --refresh"
# What a bad field is read as; it never gets out, because its problem is raised.
_ANY_PLATFORM = next(iter(PLATFORMS.values()))
_NO_SHA256 = Sha256("0" * 64)
_NO_DIGEST = Digest(f"sha256:{_NO_SHA256}")


def read_lock(path: Path, *, hint: str = _MEND) -> Lock:
    """Read a lock; raises `LockError` with every problem of the file (`hint` says how to make it again)."""
    table, problems = _open(path, hint)
    lock = Lock(
        release=table.string("release"),
        platform=table.parsed("platform", platform_named, _ANY_PLATFORM),
        python_version=table.parsed("python_version", python_version, ""),
        as_of=table.moment("as_of"),
        source_date_epoch=table.integer("source_date_epoch", minimum=1),
        inputs=_inputs(table),
        debs=_debs(table),
        pythons=_pythons(table, "python", required=True),
        build_pythons=_pythons(table, "python-build", required=False),
        layers=_layers(table.table("layers")),
        image=_image(table, "image"),
        image_base=_image(table, "image-base"),
    )
    sdists = [one.filename for one in lock.pythons if not one.is_wheel]
    if sdists and not lock.build_pythons:
        table.wrong("python-build", f"is missing, but {sdists[0]} has to be built", hint=hint)
    if (lock.image or lock.image_base) and not lock.layers:
        table.wrong("layers", "is missing, but the image's results are there", hint=hint)
    if (lock.layers or lock.image_base) and not lock.image:
        table.wrong("image", "is missing, but the results of its layers are there", hint=hint)
    table.finish()
    problems.raise_if_any()
    return lock


def read_engine_lock(path: Path, *, hint: str = _MEND) -> EngineLock:
    """Read the lock of a private engine; raises `LockError` with every problem of the file."""
    table, problems = _open(path, hint)
    lock = EngineLock(
        engine=table.string("engine"),
        platform=table.parsed("platform", platform_named, _ANY_PLATFORM),
        inputs=_inputs(table),
        debs=_debs(table),
    )
    table.finish()
    problems.raise_if_any()
    return lock


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock so that a killed run leaves the old file or the new one; raises `LockError` where it cannot."""
    # Only who writes needs the writing library: a plan is faster without it.
    from rtbuild.lockfile.render import render_lock

    _write(path, render_lock(lock))


def write_engine_lock(path: Path, lock: EngineLock) -> None:
    """Write the lock of a private engine, as `write_lock` does."""
    from rtbuild.lockfile.render import render_engine_lock

    _write(path, render_engine_lock(lock))


def record_results(
    path: Path, layers: Sequence[LayerResult], image: ImageResult | None, image_base: ImageResult | None
) -> None:
    """Put what a build gave into the lock at `path`, in place of what was recorded before; raises `LockError`."""
    write_lock(path, replace(read_lock(path), layers=tuple(layers), image=image, image_base=image_base))


def _open(path: Path, hint: str) -> tuple[Table, Problems]:
    name = _name_of(path)
    content = parse_toml(path, name, LockError, hint=hint, mend=_MEND)  # no TOML, as after a merge with conflicts
    problems = Problems(name, LockError, hint=_MEND, by_hand=False)
    table = Table(content, problems)
    version = table.integer("version")
    if version != VERSION and table.has("version"):
        newer = f"this rtbuild reads version {VERSION}; use a newer one" if version > VERSION else hint
        table.wrong("version", f"unknown version {version}", hint=newer)
    # Of another version nothing more can be said.
    problems.raise_if_any()
    return table, problems


def _name_of(path: Path) -> str:
    parts = path.parts
    return "/".join(parts[parts.index(FOLDER) :]) if FOLDER in parts else str(path)


def _inputs(table: Table) -> tuple[tuple[str, Sha256], ...]:
    inputs = table.table("inputs", required=True)
    return tuple((name, inputs.parsed(name, parse_sha256, _NO_SHA256)) for name, _ in inputs.string_items())


def _debs(table: Table) -> tuple[DebArtifact, ...]:
    debs = []
    places = []
    for item in table.tables("deb", required=True):
        path, filename = _path(item)
        debs.append(
            DebArtifact(
                filename=filename,
                path=path,
                size=item.integer("size", minimum=1),
                sha256=item.parsed("sha256", parse_sha256, _NO_SHA256),
                name=item.parsed("name", debian_name, ""),
                version=item.parsed("version", debian_version, ""),
                architecture=item.string("architecture"),
                archive=item.string("archive"),
                suite=item.string("suite"),
                built=item.integer("built", minimum=1),
                layer=item.string("layer", ""),
                essential=item.boolean("essential", False),
                depends=item.strings("depends", ()),
            )
        )
        item.finish()
        places.append(item)
    _check_names(places, [("", one.name, one.depends) for one in debs], "depends")
    return tuple(debs)


def _pythons(table: Table, field: str, *, required: bool) -> tuple[PythonArtifact, ...]:
    pythons = []
    places = []
    for item in table.tables(field, required=required):
        path, filename = _path(item)
        local = field == "python" and item.boolean("local", False)
        if local and filename.endswith(".whl"):
            item.wrong("local", f"{filename} is a wheel, and a local package is an sdist")
        version = item.parsed("version", python_version, "")
        patches = _patches(item, version) if field == "python" else ()
        pythons.append(
            PythonArtifact(
                filename=filename,
                path=path,
                size=item.integer("size", minimum=1),
                sha256=item.parsed("sha256", parse_sha256, _NO_SHA256),
                name=item.parsed("name", _python_name, ""),
                version=version,
                uploaded=item.moment("uploaded"),
                layer=item.string("layer", ""),
                requires=item.strings("requires", ()),
                local=local,
                patches=patches,
            )
        )
        item.finish()
        places.append(item)
    # Runtime packages are one set, whatever layer they lie in; the build packages of each sdist are a set of their own.
    sets = ["" if field == "python" else one.layer for one in pythons]
    names = [(group, one.name, one.requires) for group, one in zip(sets, pythons, strict=True)]
    _check_names(places, names, "requires")
    return tuple(pythons)


def _patches(python: Table, version: str) -> tuple[LockedPatch, ...]:
    patches: list[LockedPatch] = []
    for item in python.tables("patches"):
        patch = LockedPatch(
            id=item.parsed("id", plain_name, ""), sha256=item.parsed("sha256", parse_sha256, _NO_SHA256)
        )
        item.finish()
        if any(other.id == patch.id for other in patches):
            item.wrong("id", f"{patch.id} is applied twice", hint="keep one of them")
        patches.append(patch)
    if patches and version != (expected := patched_version(version.partition("+")[0], len(patches))):
        python.wrong("version", f"{version} should be {expected}, by the number of its patches", hint=_MEND)
    return tuple(patches)


def _path(item: Table) -> tuple[str, str]:
    path = item.string("path")
    filename = item.string("filename", path.rpartition("/")[2])
    if path.startswith("/") or "://" in path or ".." in path.split("/"):
        item.wrong("path", f"{path!r} is not a path below a mirror")
    if "/" in filename:
        item.wrong("filename", f"{filename!r} is not a file name")
    return path, filename


def _check_names(items: Sequence[Table], rows: Sequence[tuple[str, str, tuple[str, ...]]], field: str) -> None:
    """Each name once in its group, and nothing needed that is not there."""
    first: dict[tuple[str, str], str] = {}
    for item, (group, name, _) in zip(items, rows, strict=True):
        if (group, name) in first:
            item.wrong("name", f"{name} is locked twice, first in {first[group, name]}", hint="keep one of them")
        first.setdefault((group, name), item.place)
    for item, (group, name, needed) in zip(items, rows, strict=True):
        for other in needed:
            if (group, other) not in first:
                item.wrong(field, f"{name} needs {other}, which is not locked", hint=_MEND)


def _python_name(text: str) -> str:
    if normalized(text) != text:
        raise ValueError(f"not normalised, {normalized(text)!r} is expected")
    return text


def _layers(table: Table) -> tuple[LayerResult, ...]:
    results = []
    for item in table.each():
        results.append(
            LayerResult(
                name=item.place.rpartition(".")[2],
                key=Key(item.parsed("key", parse_sha256, _NO_SHA256)),
                diff_id=DiffId(item.parsed("diff_id", parse_digest, _NO_DIGEST)),
                size=item.integer("size", minimum=1),
            )
        )
        item.finish()
    return tuple(results)


def _image(table: Table, name: str) -> ImageResult | None:
    if not table.known(name):
        return None
    item = table.table(name)
    result = ImageResult(
        id=item.parsed("id", parse_digest, _NO_DIGEST),
        manifest=item.parsed("manifest", parse_digest, _NO_DIGEST),
        compressor=item.string("compressor"),
    )
    item.finish()
    return result


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as cause:
        hint = f"may you write into {path.parent}?"
        raise LockError(f"{_name_of(path)}: cannot be written: {cause.strerror}", hint=hint) from cause
