"""The files of `docker buildx build --metadata-file` and `--iidfile`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbuild.errors import RtbuildError

if TYPE_CHECKING:
    from rtbuild.verbs.build import BuildResult


def write_metadata(path: Path, results: Sequence[BuildResult]) -> None:
    """Write what was built with the keys of buildx: one object, or for several platforms one for each by its name.

    Raises:
        RtbuildError: if the file cannot be written.
    """
    documents = {result.platform: _metadata(result) for result in results}
    document = documents if len(documents) > 1 else documents[results[0].platform]
    _write(path, json.dumps(document, indent=2) + "\n")


def write_image_id(path: Path, result: BuildResult) -> None:
    """Write the config digest, without a line end, as buildx does.

    Raises:
        RtbuildError: if the file cannot be written.
    """
    _write(path, result.image_id)


def _metadata(result: BuildResult) -> dict[str, Any]:
    from rtbuild.oci.descriptor import MANIFEST

    os_name, _, architecture = result.platform.partition("/")
    return {
        "containerimage.config.digest": result.image_id,
        "containerimage.descriptor": {
            "mediaType": MANIFEST,
            "digest": result.manifest_digest,
            "size": result.manifest_size,
            "platform": {"architecture": architecture, "os": os_name},
        },
        "containerimage.digest": result.manifest_digest,
        "image.name": ",".join(result.images[:1]),
    }


def _write(path: Path, text: str) -> None:
    from rtbuild.files import write_atomically

    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise RtbuildError(
            f"cannot write {path}: {error.strerror}", hint=f"check the permissions of {path.parent}"
        ) from error
