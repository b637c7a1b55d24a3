"""InRelease: what a suite holds, signed by its archive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from rtbuild.digest import Sha256, parse_sha256
from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.formats.deb822 import parse_stanza
from rtbuild.mirror.sources import Answer, Sources
from rtbuild.progress import Progress
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """An index that InRelease lists; `path` is below `dists/<suite>`, `size` in bytes."""

    path: str
    size: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """A verified InRelease. `priority` ranks a suite's packages as apt does (apt_preferences(5)): 1 where the suite
    says NotAutomatic, 100 with ButAutomaticUpgrades, else 500."""

    suite: Suite
    mirror: str
    date: datetime
    by_hash: bool
    priority: int
    files: Mapping[str, IndexFile]


def read_release_file(
    suite: Suite, sources: Sources, *, keyring: Keyring, progress: Progress, now: datetime | None = None
) -> ReleaseFile:
    """The suite's InRelease from the first mirror whose answer is good; `now` stands for the clock (UTC).

    A suite past its Valid-Until is refused unless the recipe says `check_valid_until = false`. A dated snapshot must
    have been valid at the moment it shows, not today.

    Raises `MirrorError` where no mirror has the suite, `IntegrityError` where mirrors answered but none rightly.
    """
    moment = _moment(suite) or now or datetime.now(UTC)
    rejected = []
    for answer in sources.debian_index(suite, "InRelease"):
        try:
            return _read(suite, answer, keyring, moment)
        except ValueError as error:
            rejected.append(f"{answer.mirror}: {error}")
            progress.note(f"dists/{suite.suite}/InRelease of {answer.mirror} is refused: {error}")
    if rejected:
        raise IntegrityError(
            f"dists/{suite.suite}/InRelease: no mirror of the archive {suite.archive} serves one that can be trusted",
            details="\n".join(rejected),
            hint=_hint(rejected),
        )
    raise MirrorError(
        f"no mirror serves suite {suite.suite} of the archive {suite.archive}",
        hint="`rtbuild mirrors` shows which mirrors were found; name one that has the suite in rtbuild.toml, "
        "or correct the suite's name in the recipe",
    )


def _read(suite: Suite, answer: Answer, keyring: Keyring, moment: datetime) -> ReleaseFile:
    if answer.content[:64].lstrip()[:1] == b"<":
        raise ValueError("it is a page of HTML")
    try:
        text = keyring.signed_text(answer.content).decode()
    except UnicodeDecodeError:
        raise ValueError("its signed text is not UTF-8") from None
    except ValueError as error:
        raise ValueError(f"its signature does not verify with {keyring.name} ({error})") from None
    fields = parse_stanza(text)
    _check_name(suite, fields)
    valid_until = _date(fields, "valid-until") if "valid-until" in fields else None
    if suite.check_valid_until and valid_until is not None and valid_until < moment:
        raise ValueError(f"it is valid until {valid_until:%Y-%m-%d %H:%M} UTC only")
    return ReleaseFile(
        suite=suite,
        mirror=answer.mirror,
        date=_date(fields, "date"),
        by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
        priority=_priority(fields),
        files=_files(fields),
    )


def _check_name(suite: Suite, fields: Mapping[str, str]) -> None:
    """A mirror could replay another suite's InRelease, correctly signed: the names inside must be the wanted ones."""
    names = {fields.get("suite", ""), fields.get("codename", "")} - {""}
    if suite.suite not in names:
        raise ValueError(f"it is the InRelease of {' / '.join(sorted(names)) or 'a nameless suite'}, not {suite.suite}")


def _date(fields: Mapping[str, str], name: str) -> datetime:
    try:
        date = parsedate_to_datetime(fields[name].replace("UTC", "+0000"))
    except (KeyError, ValueError):
        raise ValueError(f"its field {name.title()} is missing or no date") from None
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
        match = re.fullmatch(r"\s*(\S+)\s+(\d+)\s+(\S+)\s*", line)
        if match is None:
            raise ValueError(f"it lists a file as {line.strip()!r}")
        path = match[3]
        files[path] = IndexFile(path=path, size=int(match[2]), sha256=parse_sha256(match[1]))
    return files


def _hint(rejected: list[str]) -> str:
    if all("valid until" in reason for reason in rejected):
        return (
            "a mirror that is up to date will do; for a suite that gets no more updates, the recipe may say "
            "`check_valid_until = false` for this suite"
        )
    return "the mirror or something between it and this machine changes what Debian published; use another mirror"
