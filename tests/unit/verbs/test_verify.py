"""What a verification takes from the user's store instead of fetching it again."""

from __future__ import annotations

from pathlib import Path

from rtbuild.digest import sha256_bytes
from rtbuild.lockfile.model import Artifact
from rtbuild.store.store import Store
from rtbuild.verbs.verify import lend_artifacts


def test_what_the_store_has_is_lent_and_the_rest_left_to_be_fetched(tmp_path: Path) -> None:
    store, fresh = Store.open(tmp_path / "store"), Store.open(tmp_path / "fresh")
    there, absent = (
        Artifact(filename=name, path=name, size=len(name), sha256=sha256_bytes(name.encode())) for name in ("a", "b")
    )
    with store.add_artifact(there) as partial:
        assert partial is not None
        partial.write(b"a")
        partial.commit()
    lend_artifacts([there, absent], store, fresh)
    assert fresh.verify_artifact(there)
    assert not fresh.has_artifact(absent)
