"""Reading and writing lockfiles.

A lockfile is TOML: one table for each artifact, sorted, one name on a line, so that two people's changes merge like any
text. Reading checks everything that the text alone can show to be wrong, and reports all problems at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rtbuild.digest import DiffId, Digest, Key, Sha256, parse_digest, parse_sha256
from rtbuild.errors import LockError
from rtbuild.files import write_atomically
from rtbuild.lockfile.folder import lock_name
from rtbuild.lockfile.model import (
    FORMAT_VERSION,
    FORMAT_WITHOUT_ORIGINS,
    DebArtifact,
    EngineLock,
    ImageResult,
    LayerResult,
    Lock,
    LockedPatch,
    LockedSuite,
    PythonArtifact,
)
from rtbuild.lockfile.remedy import Remedy, lock_remedy
from rtbuild.platform import PLATFORMS, platform_named
from rtbuild.recipe.names import debian_name, debian_version, normalized, pep440_version, plain_name
from rtbuild.recipe.patches import patched_version
from rtbuild.recipe.table import Problems, Table, parse_toml

_READABLE = range(FORMAT_WITHOUT_ORIGINS, FORMAT_VERSION + 1)
_ANY_LOCK = lock_remedy()
# What a bad field is read as. It never gets out, because the field's problem is raised.
_ANY_PLATFORM = next(iter(PLATFORMS.values()))
_NO_SHA256 = Sha256("0" * 64)
_NO_DIGEST = Digest(f"sha256:{_NO_SHA256}")


def read_lock(path: Path, *, remedy: Remedy = _ANY_LOCK) -> Lock:
    """Read the lock of a release; `remedy` gives the hints of errors.

    Raises:
        LockError: if the lock is missing or malformed; it lists every problem.
    """
    version, table, problems = _open(path, remedy)
    suites = _suites(table, version)
    has_python = table.known("python_version")
    lock = Lock(
        release=table.string("release"),
        platform=table.parsed("platform", platform_named, _ANY_PLATFORM),
        python_version=table.parsed("python_version", pep440_version, "") if has_python else None,
        as_of=table.moment("as_of"),
        source_date_epoch=table.integer("source_date_epoch", minimum=1),
        inputs=_inputs(table),
        debs=_debs(table, suites, version),
        pythons=_pythons(table, "python", required=has_python),
        build_pythons=_pythons(table, "python-build", required=False),
        layers=_layers(table.table("layers")),
        image=_image(table, "image"),
        image_base=_image(table, "image-base"),
        suites=suites,
        version=version,
    )
    if lock.pythons and not has_python:
        table.wrong("python_version", "is missing, but Python packages are locked")
    sdists = [python.filename for python in lock.pythons if not python.is_wheel]
    if sdists and not lock.build_pythons:
        table.wrong("python-build", f"is missing, but {sdists[0]} must be built")
    if (lock.image or lock.image_base) and not lock.layers:
        table.wrong("layers", "is missing, but results of the image are recorded")
    if (lock.layers or lock.image_base) and not lock.image:
        table.wrong("image", "is missing, but results of its layers are recorded")
    table.finish()
    problems.raise_if_any()
    return lock


def read_engine_lock(path: Path, *, remedy: Remedy = _ANY_LOCK) -> EngineLock:
    """Read the lock of a private engine; `remedy` gives the hints of errors.

    Raises:
        LockError: if the lock is missing or malformed; it lists every problem.
    """
    version, table, problems = _open(path, remedy)
    suites = _suites(table, version)
    lock = EngineLock(
        engine=table.string("engine"),
        platform=table.parsed("platform", platform_named, _ANY_PLATFORM),
        inputs=_inputs(table),
        debs=_debs(table, suites, version),
        suites=suites,
        version=version,
    )
    table.finish()
    problems.raise_if_any()
    return lock


def write_lock(path: Path, lock: Lock) -> None:
    """Write the lock of a release atomically: a killed run leaves the old file or the new one.

    Raises:
        LockError: if the file cannot be written.
    """
    # Imported here because only writing needs TOML Kit: a plan is faster without it.
    from rtbuild.lockfile.render import render_lock

    _write(path, render_lock(lock))


def write_engine_lock(path: Path, lock: EngineLock) -> None:
    """Write the lock of a private engine, as `write_lock` does.

    Raises:
        LockError: if the file cannot be written.
    """
    from rtbuild.lockfile.render import render_engine_lock

    _write(path, render_engine_lock(lock))


def record_results(
    path: Path, layers: Sequence[LayerResult], image: ImageResult | None, image_base: ImageResult | None
) -> Lock:
    """Record the results of a build in the lock at `path`, in place of those recorded before, and return the new lock.

    The lockfile is read again, so that what another process changed in it meanwhile stays.

    Raises:
        LockError: if the lock is missing or malformed, or cannot be written.
    """
    lock = replace(read_lock(path), layers=tuple(layers), image=image, image_base=image_base)
    write_lock(path, lock)
    return lock


def _open(path: Path, remedy: Remedy) -> tuple[int, Table, Problems]:
    name = lock_name(path)
    # A lockfile that is not TOML is most often one with the conflict markers of a merge.
    content = parse_toml(path, name, LockError, missing=remedy.missing, malformed=remedy.malformed)
    problems = Problems(name, LockError, hint=remedy.malformed, by_hand=False)
    table = Table(content, problems)
    version = table.integer("version")
    if version not in _READABLE and table.has("version"):
        hint = f"this rtbuild reads version {FORMAT_VERSION}; use a newer one" if version > FORMAT_VERSION else None
        table.wrong("version", f"unknown version {version}", hint=hint)
    # Nothing else can be said about another version.
    problems.raise_if_any()
    return version, table, problems


def _inputs(table: Table) -> tuple[tuple[str, Sha256], ...]:
    inputs = table.table("inputs", required=True)
    return tuple((name, inputs.parsed(name, parse_sha256, _NO_SHA256)) for name, _ in inputs.string_items())


def _suites(table: Table, version: int) -> tuple[LockedSuite, ...]:
    suites: list[LockedSuite] = []
    for entry in table.tables("suite") if version > FORMAT_WITHOUT_ORIGINS else ():
        suite = LockedSuite(
            archive=entry.string("archive"),
            suite=entry.string("suite"),
            snapshot=entry.optional("snapshot"),
            date=entry.moment("date"),
            valid_until=entry.moment("valid_until") if entry.known("valid_until") else None,
            sha256=entry.parsed("sha256", parse_sha256, _NO_SHA256),
        )
        entry.finish()
        place = (suite.archive, suite.suite, suite.snapshot)
        if any((other.archive, other.suite, other.snapshot) == place for other in suites):
            entry.wrong("suite", f"{suite.archive} {suite.suite} is recorded twice", hint="keep one of them")
        suites.append(suite)
    return tuple(suites)


def _debs(table: Table, suites: Sequence[LockedSuite], version: int) -> tuple[DebArtifact, ...]:
    debs = []
    entries = []
    recorded = {(suite.archive, suite.suite) for suite in suites}
    for entry in table.tables("deb", required=True):
        path, filename = _path(entry)
        debs.append(
            DebArtifact(
                filename=filename,
                path=path,
                size=entry.integer("size", minimum=1),
                sha256=entry.parsed("sha256", parse_sha256, _NO_SHA256),
                name=entry.parsed("name", debian_name, ""),
                version=entry.parsed("version", debian_version, ""),
                architecture=entry.string("architecture"),
                archive=entry.string("archive"),
                suite=entry.string("suite"),
                built=entry.integer("built", minimum=1),
                layer=entry.string("layer", ""),
                essential=entry.boolean("essential", False),
                depends=entry.strings("depends", ()),
                source=_origin(entry, "source", debian_name, version),
                source_version=_origin(entry, "source_version", debian_version, version),
            )
        )
        entry.finish()
        if version > FORMAT_WITHOUT_ORIGINS and (debs[-1].archive, debs[-1].suite) not in recorded:
            entry.wrong("suite", f"{debs[-1].archive} {debs[-1].suite} has no [[suite]]")
        entries.append(entry)
    _check_names(entries, [("", deb.name, deb.depends) for deb in debs], "depends")
    return tuple(debs)


def _origin(entry: Table, field: str, parse: Callable[[str], str], version: int) -> str:
    known = version > FORMAT_WITHOUT_ORIGINS and entry.known(field)
    return entry.parsed(field, parse, "") if known else ""


def _pythons(table: Table, field: str, *, required: bool) -> tuple[PythonArtifact, ...]:
    pythons = []
    entries = []
    for entry in table.tables(field, required=required):
        path, filename = _path(entry)
        local = field == "python" and entry.boolean("local", False)
        if local and filename.endswith(".whl"):
            entry.wrong("local", f"{filename} is a wheel, but a local package must be an sdist")
        version = entry.parsed("version", pep440_version, "")
        patches = _patches(entry, version) if field == "python" else ()
        pythons.append(
            PythonArtifact(
                filename=filename,
                path=path,
                size=entry.integer("size", minimum=1),
                sha256=entry.parsed("sha256", parse_sha256, _NO_SHA256),
                name=entry.parsed("name", _python_name, ""),
                version=version,
                uploaded=entry.moment("uploaded"),
                layer=entry.string("layer", ""),
                requires=entry.strings("requires", ()),
                local=local,
                patches=patches,
            )
        )
        entry.finish()
        entries.append(entry)
    # Runtime packages are one group, whatever layer they lie in; the build packages of each sdist are a group each.
    names = [("" if field == "python" else python.layer, python.name, python.requires) for python in pythons]
    _check_names(entries, names, "requires")
    return tuple(pythons)


def _patches(python: Table, version: str) -> tuple[LockedPatch, ...]:
    patches: list[LockedPatch] = []
    for entry in python.tables("patches"):
        patch = LockedPatch(
            id=entry.parsed("id", plain_name, ""), sha256=entry.parsed("sha256", parse_sha256, _NO_SHA256)
        )
        entry.finish()
        if any(other.id == patch.id for other in patches):
            entry.wrong("id", f"{patch.id} is applied twice", hint="keep one of them")
        patches.append(patch)
    if patches and version != (expected := patched_version(version.partition("+")[0], len(patches))):
        python.wrong("version", f"{version} should be {expected}, by the number of its patches")
    return tuple(patches)


def _path(entry: Table) -> tuple[str, str]:
    path = entry.string("path")
    filename = entry.string("filename", path.rpartition("/")[2])
    if path.startswith("/") or "://" in path or ".." in path.split("/"):
        entry.wrong("path", f"{path!r} is not a relative path on a mirror")
    if "/" in filename:
        entry.wrong("filename", f"{filename!r} is not a file name")
    return path, filename


def _check_names(entries: Sequence[Table], rows: Sequence[tuple[str, str, tuple[str, ...]]], field: str) -> None:
    """Check that each name is in its group once, and that everything needed is in the group too.

    A row is a (group, name, needed names) triple.
    """
    first: dict[tuple[str, str], str] = {}
    for entry, (group, name, _) in zip(entries, rows, strict=True):
        if (group, name) in first:
            entry.wrong("name", f"{name} is locked twice, first in {first[group, name]}", hint="keep one of them")
        first.setdefault((group, name), entry.place)
    for entry, (group, name, needed) in zip(entries, rows, strict=True):
        for other in needed:
            if (group, other) not in first:
                entry.wrong(field, f"{name} needs {other}, which is not locked")


def _python_name(text: str) -> str:
    if normalized(text) != text:
        raise ValueError(f"not a normalised name, expected {normalized(text)!r}")
    return text


def _layers(table: Table) -> tuple[LayerResult, ...]:
    results = []
    for entry in table.each():
        results.append(
            LayerResult(
                name=entry.place.rpartition(".")[2],
                key=Key(entry.parsed("key", parse_sha256, _NO_SHA256)),
                diff_id=DiffId(entry.parsed("diff_id", parse_digest, _NO_DIGEST)),
                size=entry.integer("size", minimum=1),
            )
        )
        entry.finish()
    return tuple(results)


def _image(table: Table, name: str) -> ImageResult | None:
    if not table.known(name):
        return None
    entry = table.table(name)
    result = ImageResult(
        id=entry.parsed("id", parse_digest, _NO_DIGEST),
        manifest=entry.parsed("manifest", parse_digest, _NO_DIGEST),
        compressor=entry.string("compressor"),
    )
    entry.finish()
    return result


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as cause:
        hint = f"check the permissions of {path.parent}"
        raise LockError(f"{lock_name(path)}: cannot be written: {cause.strerror}", hint=hint) from cause
