"""Local packages in the store: no mirror has their sdists, so they are written there before a build needs them."""

from __future__ import annotations

from rtbuild.errors import StaleLockError
from rtbuild.lockfile.model import Lock
from rtbuild.recipe.model import Release
from rtbuild.recipe.sdist import local_sdists
from rtbuild.store.store import Store


def store_local(release: Release, lock: Lock, store: Store) -> None:
    """Put the sdists of the lock's local packages into `store`, in place of damaged ones.

    Raises `StaleLockError` where the source makes others than the lock names, and `StoreError`.
    """
    sdists = {one.package.name: one for one in local_sdists(release)}
    for artifact in lock.pythons:
        if not artifact.local:
            continue
        sdist = sdists.get(artifact.name)
        if sdist is None or sdist.sha256 != artifact.sha256:
            raise StaleLockError(
                f"{artifact.name}: its source in {artifact.path} is not what the lock of {lock.release} was made from",
                hint=f"make the lock again with: rtbuild lock {lock.release} --platform {lock.platform}",
            )
        if store.verify_artifact(artifact):
            continue
        with store.add_artifact(artifact) as partial:
            if partial is not None:
                partial.restart()
                partial.write(sdist.content)
                partial.commit()
