"""Running the command line in a test, and putting layers into its store without building them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

from rtbuild.derivations.plan import Plan
from rtbuild.digest import DiffId, digest_of, sha256_bytes
from rtbuild.formats.frames import COMPRESSORS
from rtbuild.oci.folders import LayerFolders
from rtbuild.platform import PLATFORMS
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store

AMD64 = PLATFORMS["linux/amd64"]

Run = Callable[..., Result]


def answer(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout; fails where there is anything else."""
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def realise(store: Store, plan: Plan, name: str) -> None:
    """Let `store` hold the layer `name` of `plan`."""
    (layer,) = (layer for layer in plan.layers if layer.name == name)
    assert layer.derivation is not None
    content = name.encode()
    digest = digest_of(sha256_bytes(content))
    path = store.layout.blob_path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    store.record(
        Realisation(
            key=layer.derivation.key,
            release=plan.release,
            platform=plan.platform,
            layer=name,
            diff_id=DiffId(digest),
            size=len(content),
            blob=digest,
            blob_size=len(content),
            media_type="application/vnd.oci.image.layer.v1.tar+zstd",
            compressor=COMPRESSORS["zstd"]().name,
            inputs=layer.derivation.inputs,
        )
    )
    store.add_folders(DiffId(digest), LayerFolders(folders={}, links={}))
