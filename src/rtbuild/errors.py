"""Every error rtbuild raises on purpose.

An error says what happened (`brief`), optionally more about it (`details`) and how to mend it (`hint`).
The library raises, the CLI prints; `exit_code` is what the CLI ends with.
"""

from __future__ import annotations


class RtbuildError(Exception):
    """A failure with a cause that the user can understand and act on.

    `brief` is one line without a full stop that names the thing and, where there is one, its place
    (`recipes/releases/8.0.0.toml: airflow`). `hint` says how to mend it.
    """

    exit_code = 1

    def __init__(self, brief: str, *, details: str | None = None, hint: str | None = None) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.hint = hint


class UsageError(RtbuildError):
    """The command line or a setting cannot be understood."""

    exit_code = 2


class RecipeError(RtbuildError):
    """A recipe file is missing, malformed, or asks for something impossible."""


class LockError(RtbuildError):
    """A lock file is missing, malformed, or no longer fits its recipes."""


class StaleLockError(LockError):
    """A lock is well formed but was made from other recipes than the ones at hand."""


class ResolutionError(RtbuildError):
    """No set of packages satisfies what the recipes ask for."""


class MirrorError(RtbuildError):
    """No mirror could serve a file or an index."""


class IntegrityError(RtbuildError):
    """Bytes are not the bytes that were promised: a digest, size or signature does not match."""


class StoreError(RtbuildError):
    """The store cannot be read or written."""


class EngineError(RtbuildError):
    """There is no usable engine, or the engine failed."""


class BuildError(RtbuildError):
    """A derivation could not be built; `details` holds the end of its log."""


class NotReproducibleError(RtbuildError):
    """A build gave other bytes than the lock records."""

    exit_code = 3
