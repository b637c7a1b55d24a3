"""Put the sdists of local packages into the store: no mirror has them, so they are made from the recipes."""

from __future__ import annotations

from rtbuild.errors import StaleLockError
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.remedy import lock_remedy
from rtbuild.recipe.model import Release
from rtbuild.recipe.sdist import local_sdists
from rtbuild.store.store import Store


def store_local(release: Release, lock: Lock, store: Store) -> None:
    """Put the sdists of the lock's local packages into `store`, replacing damaged ones.

    Raises:
        StaleLockError: if the source of a package has changed since the lock was made.
        StoreError: if the store cannot be read or written.
    """
    sdists = {sdist.package.name: sdist for sdist in local_sdists(release)}
    for artifact in lock.pythons:
        if not artifact.local:
            continue
        sdist = sdists.get(artifact.name)
        if sdist is None or sdist.sha256 != artifact.sha256:
            raise StaleLockError(
                f"{artifact.name}: its source in {artifact.path} has changed since the lock of {lock.release} was made",
                hint=lock_remedy(lock.release, lock.platform).stale,
            )
        if store.verify_artifact(artifact):
            continue
        with store.add_artifact(artifact) as partial:
            if partial is not None:
                partial.restart()
                partial.write(sdist.content)
                partial.commit()
