"""What images in a layout are called, and how containerd and Docker want it said.

The rules are in the OCI image specification 1.1, `annotations.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtbuild.oci.descriptor import Descriptor

REFERENCE = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def named(manifest: Descriptor, names: Sequence[str]) -> tuple[Descriptor, ...]:
    """`manifest` once for each of `names` (`repository:tag`), annotated as containerd and `docker load` want it."""
    found = []
    for name in names:
        full = full_reference(name)
        annotations = ((CONTAINERD_NAME, full), (REFERENCE, full.rpartition(":")[2]))
        found.append(replace(manifest, annotations=annotations))
    return tuple(found)


def full_reference(name: str) -> str:
    """`name` with registry, namespace and tag, as containerd keeps it: `docker load` loses images with bare names."""
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    first, slash, _ = repository.partition("/")
    if not slash:
        repository = f"docker.io/library/{repository}"
    elif not ("." in first or ":" in first or first == "localhost"):
        repository = f"docker.io/{repository}"
    return f"{repository}:{tag}"


def is_called(found: Descriptor, reference: str) -> bool:
    """Whether `reference`, a tag, a full name or a digest, means an image of the index."""
    return reference in (found.digest, *names_of(found)) or full_reference(reference) in names_of(found)


def names_of(found: Descriptor) -> list[str]:
    """What the index calls an image, the most exact name last."""
    annotations = dict(found.annotations)
    return [annotations[key] for key in (REFERENCE, CONTAINERD_NAME) if key in annotations]
