"""The text of a lockfile. See `read`, which reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import AoT, Array, Table

from rtbuild.lockfile.model import DebArtifact, EngineLock, Lock, LockedSuite, PythonArtifact


def render_lock(lock: Lock) -> str:
    """Return the text of a release's lock."""
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Made by: rtbuild lock {lock.release} --platform {lock.platform}"))
    document["version"] = lock.version
    document["release"] = lock.release
    document["platform"] = str(lock.platform)
    if lock.python_version is not None:
        document["python_version"] = lock.python_version
    document["as_of"] = lock.as_of.astimezone(UTC)
    document["source_date_epoch"] = lock.source_date_epoch
    document["inputs"] = _table(dict(sorted(lock.inputs)))
    for name, image in (("image", lock.image), ("image-base", lock.image_base)):
        if image is not None:
            document[name] = _table({"id": image.id, "manifest": image.manifest, "compressor": image.compressor})
    if lock.layers:
        layers = tomlkit.table(is_super_table=True)
        for layer in lock.layers:
            layers[layer.name] = _table({"key": layer.key, "diff_id": layer.diff_id, "size": layer.size})
        document["layers"] = layers
    _add_suites(document, lock.suites)
    document["deb"] = _tables(map(_deb_fields, sorted(lock.debs, key=lambda deb: deb.name)))
    for name, artifacts in (("python", lock.pythons), ("python-build", lock.build_pythons)):
        if artifacts:
            ordered = sorted(artifacts, key=lambda python: (python.name, python.layer, python.version))
            document[name] = _tables(map(_python_fields, ordered))
    return tomlkit.dumps(document)


def render_engine_lock(lock: EngineLock) -> str:
    """Return the text of a private engine's lock."""
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Made by: rtbuild engine lock --name {lock.engine} --platform {lock.platform}"))
    document["version"] = lock.version
    document["engine"] = lock.engine
    document["platform"] = str(lock.platform)
    document["inputs"] = _table(dict(sorted(lock.inputs)))
    _add_suites(document, lock.suites)
    document["deb"] = _tables(map(_deb_fields, sorted(lock.debs, key=lambda deb: deb.name)))
    return tomlkit.dumps(document)


def _add_suites(document: TOMLDocument, suites: Iterable[LockedSuite]) -> None:
    ordered = sorted(suites, key=lambda suite: (suite.archive, suite.suite, suite.snapshot or ""))
    if ordered:
        document["suite"] = _tables(map(_suite_fields, ordered))


def _suite_fields(suite: LockedSuite) -> dict[str, Any]:
    fields = {
        "archive": suite.archive,
        "suite": suite.suite,
        "snapshot": suite.snapshot,
        "date": suite.date.astimezone(UTC),
        "valid_until": suite.valid_until and suite.valid_until.astimezone(UTC),
        "sha256": suite.sha256,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _deb_fields(deb: DebArtifact) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": deb.name,
        "version": deb.version,
        "source": deb.source,
        "source_version": deb.source_version,
        "architecture": deb.architecture,
        "archive": deb.archive,
        "suite": deb.suite,
        "path": deb.path,
        "filename": deb.filename,
        "size": deb.size,
        "sha256": deb.sha256,
        "built": deb.built,
        "layer": deb.layer,
        "essential": deb.essential,
        "depends": deb.depends,
    }
    # Defaults are not written: most packages are not essential.
    for name in ("source", "source_version", "layer", "essential", "depends"):
        if not fields[name]:
            del fields[name]
    return _without_filename(fields)


def _python_fields(python: PythonArtifact) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": python.name,
        "version": python.version,
        "path": python.path,
        "filename": python.filename,
        "size": python.size,
        "sha256": python.sha256,
        "uploaded": python.uploaded.astimezone(UTC),
        "local": python.local,
        "layer": python.layer,
        "requires": python.requires,
        # Last, because in TOML a table's own fields end when a table inside it begins.
        "patches": [{"id": patch.id, "sha256": patch.sha256} for patch in python.patches],
    }
    for name in ("local", "layer", "requires", "patches"):
        if not fields[name]:
            del fields[name]
    return _without_filename(fields)


def _without_filename(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["path"].rpartition("/")[2] == fields["filename"]:
        del fields["filename"]
    return fields


def _tables(rows: Iterable[Mapping[str, Any]]) -> AoT:
    tables = tomlkit.aot()
    for row in rows:
        tables.append(_table(row))
    return tables


def _table(fields: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for name, value in fields.items():
        if isinstance(value, list):
            table.append(name, _tables(value))
        else:
            table.append(name, _lines(value) if isinstance(value, tuple) else value)
    return table


def _lines(values: Sequence[str]) -> Array:
    """One name on a line, so that adding a name changes one line."""
    array = tomlkit.array()
    array.extend(sorted(values))
    return array.multiline(True)
