"""The folders of layers, so that checking how layers fit need not read the layers again.

A file is named after the diff ID of its layer. Losing it only costs time.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rtbuild.digest import DiffId, hex_of
from rtbuild.documents import parse_json
from rtbuild.files import write_atomically
from rtbuild.oci.folders import LayerFolders


def load_folders(folder: Path, diff_id: DiffId) -> LayerFolders | None:
    """Return the folders of the layer `diff_id` kept in `folder`; None if they are missing, unreadable or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        document = parse_json((folder / hex_of(diff_id)).read_bytes())
        folders = {str(path): (int(mode), int(uid), int(gid)) for path, (mode, uid, gid) in document["folders"].items()}
        links = {str(path): str(target) for path, target in document["links"].items()}
        return LayerFolders(folders=folders, links=links)
    return None


def keep_folders(folder: Path, diff_id: DiffId, folders: LayerFolders) -> None:
    """Keep the folders of the layer `diff_id`; nothing is written if that is not possible."""
    with suppress(OSError):
        write_atomically(folder / hex_of(diff_id), json.dumps(asdict(folders)).encode(), durable=False)
