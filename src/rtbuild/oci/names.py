"""Names of images in a layout, in the annotations that containerd and Docker read.

Specification: OCI image specification 1.1, `annotations.md`.

| name given | `CONTAINERD_NAME` | `REFERENCE` |
|---|---|---|
| `airflow` | `docker.io/library/airflow:latest` | `latest` |
| `team/airflow:8.0` | `docker.io/team/airflow:8.0` | `8.0` |
| `localhost:5000/airflow:8.0` | `localhost:5000/airflow:8.0` | `8.0` |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rtbuild.errors import UsageError
from rtbuild.oci.descriptor import Descriptor

_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::\d+)?",
    re.ASCII,
)
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_LONGEST_REPOSITORY = 255

REFERENCE = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def named(manifest: Descriptor, names: Sequence[str]) -> tuple[Descriptor, ...]:
    """Return `manifest` once for each of `names` (`repository:tag`), with the annotations of that name."""
    entries = []
    for name in names:
        full = full_reference(name)
        annotations = ((CONTAINERD_NAME, full), (REFERENCE, full.rpartition(":")[2]))
        entries.append(replace(manifest, annotations=annotations))
    return tuple(entries)


def full_reference(name: str) -> str:
    """Return `name` with registry, namespace and tag. `docker load` loses images whose names are short."""
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    first, slash, _ = repository.partition("/")
    if not slash:
        repository = f"docker.io/library/{repository}"
    elif not ("." in first or ":" in first or first == "localhost"):
        repository = f"docker.io/{repository}"
    return f"{repository}:{tag}"


def require_name(name: str) -> None:
    """Check that Docker takes `name` (`repository:tag`) as the name of an image.

    The grammar is that of github.com/distribution/reference.

    Raises:
        UsageError: if it does not.
    """
    full = full_reference(name)
    repository, _, tag = full.rpartition(":")
    domain, _, path = repository.partition("/")
    own = path.removeprefix("library/")
    problem = None
    if not _DOMAIN.fullmatch(domain):
        problem = f"{domain!r} is not a registry"
    elif not _PATH.fullmatch(path):
        problem = "a repository has lower-case letters and digits, with single separators between them"
    elif len(repository) > _LONGEST_REPOSITORY:
        problem = f"a repository has at most {_LONGEST_REPOSITORY} characters"
    elif re.fullmatch("[0-9a-f]{64}", own):
        problem = "64 hexadecimal digits are an image ID"
    elif not _TAG.fullmatch(tag):
        problem = "a tag has at most 128 letters, digits, dots, dashes and underscores, and no dot or dash first"
    if problem:
        hint = "change `repository` in rtbuild.toml, or RTBUILD_REPOSITORY"
        raise UsageError(f"{name!r} is not a name for an image: {problem}", hint=hint)


def is_called(entry: Descriptor, reference: str) -> bool:
    """Return whether `reference` (a tag, a name or a digest) refers to an entry of an index."""
    return reference in (entry.digest, *names_of(entry)) or full_reference(reference) in names_of(entry)


def names_of(entry: Descriptor) -> list[str]:
    """Return the names of an entry of an index: its tag, then its full name."""
    annotations = dict(entry.annotations)
    return [annotations[key] for key in (REFERENCE, CONTAINERD_NAME) if key in annotations]
