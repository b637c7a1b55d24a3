"""Every error that rtbuild raises on purpose.

An error says what failed (`brief`), optionally more about it (`details`), and what to do about it (`hint`). The library
raises, the command line prints.
"""

from __future__ import annotations


class RtbuildError(Exception):
    """A failure that the user can understand and act on.

    Args:
        brief: What failed and where, on one line, in lower case, without a full stop
            (`recipes/releases/8.0.0.toml: airflow: is missing, expected a string`).
        details: More about it, on any number of lines.
        hint: One thing to do about it, on one line.

    Attributes:
        exit_code: The exit code of the command line for this error.
    """

    exit_code = 1

    def __init__(self, brief: str, *, details: str | None = None, hint: str | None = None) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.hint = hint


# --- what users write ------------------------------------------------------------------------------------------------


class UsageError(RtbuildError):
    """An option, argument or setting is unknown or invalid."""

    exit_code = 2


class RecipeError(RtbuildError):
    """A recipe is missing, malformed or contradicts itself."""


# --- locks -----------------------------------------------------------------------------------------------------------


class LockError(RtbuildError):
    """A lock is missing, malformed or stale."""


class StaleLockError(LockError):
    """A lock was made from recipes that have changed since."""


class ResolutionError(RtbuildError):
    """No set of packages satisfies what the recipes require."""


# --- files from elsewhere --------------------------------------------------------------------------------------------


class MirrorError(RtbuildError):
    """No mirror serves a file or an index."""


class IntegrityError(RtbuildError):
    """The size, digest or signature of a file is not the expected one."""


# --- the machine -----------------------------------------------------------------------------------------------------


class StoreError(RtbuildError):
    """The store cannot be read or written."""


class EngineError(RtbuildError):
    """No usable engine was found, or the engine failed."""


# --- builds ----------------------------------------------------------------------------------------------------------


class BuildError(RtbuildError):
    """A layer could not be built; `details` holds the end of the build's log."""


class CancelledError(BuildError):
    """A build was ended before its end: by Ctrl-C, or because another part of the same work failed."""


class NotReproducibleError(RtbuildError):
    """A build gave other bytes than the lock records, or than another build of the same lock."""

    exit_code = 3
