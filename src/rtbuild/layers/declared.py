"""Whether packages are what the lock calls them: their bytes are checked, but who edits a lock may write any name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from rtbuild.digest import Sha256
from rtbuild.errors import LockError
from rtbuild.formats.deb import HEAD, build_time, control_text
from rtbuild.lockfile.model import Lock
from rtbuild.recipe.table import Problems


def require_declared(lock: Lock, wanted: Collection[Sha256], path: Callable[[Sha256], Path], *, file: str) -> None:
    """Compare what `lock` says of its .debs that are `wanted` with what they say themselves: their name, version and
    architecture, whether they are essential, and when they were built (which locking takes from a mirror unchecked).

    `path` gives a .deb by its digest, `file` is the lock's name in messages. Raises `LockError` with every entry that
    says something else than its package. Measured: 0.2 s for 138 packages.
    """
    # Locking's libraries load slowly, and most builds find every layer there.
    from rtbuild.formats.deb822 import parse_stanza

    made = f"make it anew with: rtbuild lock {lock.release} --platform {lock.platform} --refresh"
    problems = Problems(file, LockError, hint=f"take the lock from version control again, or {made}")
    for number, deb in enumerate(lock.debs):
        if deb.sha256 not in wanted:
            continue
        with path(deb.sha256).open("rb") as stream:
            try:
                built = build_time(stream.read(HEAD))
                stream.seek(0)
                control = parse_stanza(control_text(stream))
            except ValueError as error:
                problems.add(f"deb[{number}]", f"{deb.filename} is no Debian package: {error}")
                continue
        for field, locked, said in (
            ("name", deb.name, control.get("package", "")),
            ("version", deb.version, control.get("version", "")),
            ("architecture", deb.architecture, control.get("architecture", "")),
            ("essential", deb.essential, control.get("essential") == "yes"),
            ("built", deb.built, built),
        ):
            if locked != said:
                problems.add(f"deb[{number}].{field}", f"is {locked!r}, but {deb.filename} says {said!r}")
    problems.raise_if_any()
