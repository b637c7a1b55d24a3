"""InRelease: the list of a suite's indexes, signed by its archive."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from rtbuild.digest import Sha256, parse_sha256, sha256_bytes
from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.formats.deb822 import parse_stanza
from rtbuild.lockfile.model import LockedSuite
from rtbuild.mirror.sources import Answer, Sources
from rtbuild.progress import Progress
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.keyring import Keyring

_CLOCK_SKEW = timedelta(minutes=5)
_EXPIRED = "it was valid until"
_OLDER = "but the lock was made with one"
_FUTURE = "it is dated in the future"


_LARGEST = 16 << 20
"""Bytes of an InRelease; those of Debian have 200 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """An index that InRelease lists. `path` is relative to `dists/<suite>`, `size` is in bytes."""

    path: str
    size: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """A verified InRelease."""

    suite: Suite
    mirror: str
    """The mirror that served it, for messages."""
    date: datetime
    valid_until: datetime | None
    sha256: Sha256
    """The digest of the file, signature included."""
    by_hash: bool
    """Mirrors serve the indexes by hash too."""
    priority: int
    """How apt ranks the suite's packages (apt_preferences(5)): 1 for NotAutomatic, 100 with ButAutomaticUpgrades, else
    500."""
    files: Mapping[str, IndexFile]
    """The indexes, by path."""

    @property
    def state(self) -> LockedSuite:
        """What a lock records of it."""
        return LockedSuite(
            archive=self.suite.archive,
            suite=self.suite.suite,
            snapshot=self.suite.snapshot,
            date=self.date,
            valid_until=self.valid_until,
            sha256=self.sha256,
        )


def read_release_file(
    suite: Suite,
    sources: Sources,
    *,
    keyring: Keyring,
    progress: Progress,
    trusted: Iterable[LockedSuite] = (),
    now: datetime | None = None,
) -> ReleaseFile:
    """Read a suite's InRelease, from the first mirror that serves one that can be trusted.

    A suite past its Valid-Until is rejected unless the recipe says `check_valid_until = false`. A dated snapshot must
    have been valid at the time of the snapshot, not today. One that is dated in the future, or older than the state
    that was trusted before, is rejected: who can replay an old InRelease brings back its packages' vulnerabilities.

    Args:
        trusted: The states of suites that the lock so far records.
        now: The time that Date and Valid-Until are compared with; None for the clock's.

    Raises:
        MirrorError: if no mirror has the suite.
        IntegrityError: if mirrors have it, but none serves one that can be trusted.
    """
    limits = _Limits(
        now=now or datetime.now(UTC), valid_at=_moment(suite), newest=max(_known_dates(suite, trusted), default=None)
    )
    rejected = []
    for answer in sources.debian_index(suite, "InRelease"):
        try:
            return _read(suite, answer, keyring, limits)
        except ValueError as error:
            rejected.append(f"{answer.mirror}: {error}")
            progress.note(f"rejected: {answer.mirror}: dists/{suite.suite}/InRelease: {error}")
    if rejected:
        raise IntegrityError(
            f"dists/{suite.suite}/InRelease: no mirror of the archive {suite.archive} serves one that can be trusted",
            details="\n".join(rejected),
            hint=_hint(rejected),
        )
    raise MirrorError(
        f"no mirror serves suite {suite.suite} of the archive {suite.archive}",
        hint="check the suite's name in the recipe, or add a mirror that has the suite to rtbuild.toml "
        "(`rtbuild mirrors` shows those in use)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """The dates that an InRelease is compared with: today's, a dated snapshot's, and that of the lock so far."""

    now: datetime
    valid_at: datetime | None
    newest: datetime | None

    def check(self, date: datetime, valid_until: datetime | None) -> None:
        """Raise `ValueError` if an InRelease with these dates cannot be trusted."""
        if date > self.now + _CLOCK_SKEW:
            raise ValueError(f"{_FUTURE}: {_shown(date)}, and this machine's clock says {_shown(self.now)}")
        if self.newest is not None and date < self.newest:
            raise ValueError(f"it is from {_shown(date)}, {_OLDER} from {_shown(self.newest)}")
        if valid_until is not None and valid_until < (self.valid_at or self.now):
            raise ValueError(f"{_EXPIRED} {_shown(valid_until)}")


def _known_dates(suite: Suite, trusted: Iterable[LockedSuite]) -> Iterator[datetime]:
    """Yield the dates of the states of `suite` that the lock so far records.

    A recipe that names another snapshot than the lock asks for another moment, which may be an earlier one.
    """
    for known in trusted:
        if (known.archive, known.suite) == (suite.archive, suite.suite) and suite.snapshot in (None, known.snapshot):
            yield known.date


def _read(suite: Suite, answer: Answer, keyring: Keyring, limits: _Limits) -> ReleaseFile:
    if len(answer.content) > _LARGEST:
        raise ValueError(f"it has {len(answer.content)} bytes, more than {_LARGEST}")
    if answer.content[:64].lstrip()[:1] == b"<":
        raise ValueError("it is an HTML page")
    try:
        text = keyring.signed_text(answer.content).decode()
    except UnicodeDecodeError:
        raise ValueError("its signed text is not UTF-8") from None
    except ValueError as error:
        raise ValueError(f"its signature does not verify with {keyring.name} ({error})") from None
    fields = parse_stanza(text)
    _check_name(suite, fields)
    date = _date(fields, "date")
    valid_until = _date(fields, "valid-until") if "valid-until" in fields else None
    limits.check(date, valid_until if suite.check_valid_until else None)
    return ReleaseFile(
        suite=suite,
        mirror=answer.mirror,
        date=date,
        valid_until=valid_until,
        sha256=sha256_bytes(answer.content),
        by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
        priority=_priority(fields),
        files=_files(fields),
    )


def _check_name(suite: Suite, fields: Mapping[str, str]) -> None:
    """Check the suite's name, because a mirror could serve another suite's InRelease, correctly signed."""
    names = {fields.get("suite", ""), fields.get("codename", "")} - {""}
    if suite.suite not in names:
        raise ValueError(f"it is the InRelease of {' / '.join(sorted(names)) or 'a nameless suite'}, not {suite.suite}")


def _date(fields: Mapping[str, str], name: str) -> datetime:
    try:
        date = parsedate_to_datetime(fields[name].replace("UTC", "+0000"))
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):  # all of them raised by the library
        raise ValueError(f"its field {name.title()} is missing or not a date") from None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _moment(suite: Suite) -> datetime | None:
    if suite.snapshot is None:
        return None
    return datetime.strptime(suite.snapshot, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _priority(fields: Mapping[str, str]) -> int:
    if fields.get("notautomatic", "").lower() != "yes":
        return 500
    return 100 if fields.get("butautomaticupgrades", "").lower() == "yes" else 1


def _files(fields: Mapping[str, str]) -> dict[str, IndexFile]:
    if "sha256" not in fields:
        raise ValueError("it lists no SHA256 digests")
    files = {}
    for line in filter(None, fields["sha256"].split("\n")):
        match = re.fullmatch(r"\s*(\S+)\s+([0-9]{1,15})\s+(\S+)\s*", line)
        if match is None:
            raise ValueError(f"malformed entry {line.strip()!r} in its list of files")
        path = match[3]
        files[path] = IndexFile(path=path, size=int(match[2]), sha256=parse_sha256(match[1]))
    return files


def _shown(date: datetime) -> str:
    return f"{date:%Y-%m-%d %H:%M} UTC"


def _hint(rejected: list[str]) -> str:
    if all(_EXPIRED in reason for reason in rejected):
        return (
            "use a mirror that is up to date; for a suite that gets no more updates, say `check_valid_until = false` "
            "in the recipe"
        )
    if all(_OLDER in reason for reason in rejected):
        return "use a mirror that is up to date, or accept the older state with --allow-older-archive"
    if all(_FUTURE in reason for reason in rejected):
        return "set the clock of this machine, or use another mirror"
    if all(any(known in reason for known in (_EXPIRED, _OLDER, _FUTURE)) for reason in rejected):
        return "use a mirror that is up to date"
    return "use another mirror: this one, or something on the way to it, changes what Debian published"
