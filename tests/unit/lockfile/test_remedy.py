"""The hints of errors about locks."""

from __future__ import annotations

from rtbuild.lockfile.remedy import engine_lock_remedy, lock_remedy
from rtbuild.platform import PLATFORMS

AMD64 = PLATFORMS["linux/amd64"]


def test_the_lock_of_a_release() -> None:
    remedy = lock_remedy("8.0.0", AMD64)
    assert remedy.missing == "create it with: rtbuild lock 8.0.0 --platform linux/amd64"
    assert remedy.stale == "update it with: rtbuild lock 8.0.0 --platform linux/amd64"
    assert remedy.malformed == (
        "restore the lockfile from version control, "
        "or regenerate it with: rtbuild lock 8.0.0 --platform linux/amd64 --refresh"
    )


def test_the_locks_of_all_platforms_or_releases() -> None:
    assert lock_remedy("8.0.0").stale == "update it with: rtbuild lock 8.0.0"
    assert lock_remedy().missing == "create it with: rtbuild lock"


def test_the_lock_of_an_engine_is_always_made_from_scratch() -> None:
    remedy = engine_lock_remedy("testing", AMD64)
    assert remedy.missing == "create it with: rtbuild engine lock --name testing --platform linux/amd64"
    assert remedy.malformed.endswith("regenerate it with: rtbuild engine lock --name testing --platform linux/amd64")
