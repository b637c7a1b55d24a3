"""Where package indexes serve the files of a lock, which itself names no addresses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rtbuild.errors import MirrorError
from rtbuild.lockfile.export import Published
from rtbuild.lockfile.model import PythonArtifact
from rtbuild.mirror.addresses import redacted
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.find import find_mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.locations import Locations
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.remote import add_sites, open_web
from rtbuild.mirror.site import Mirror
from rtbuild.progress import Progress, Silent, unfinished
from rtbuild.settings import Settings


def find_published(
    artifacts: Iterable[PythonArtifact], settings: Settings, *, progress: Progress | None = None
) -> dict[str, Published]:
    """Return where the file of each artifact is, by file name.

    The indexes are those that `fetch` asks. Local packages are left out, because no index has them.

    Raises:
        MirrorError: if no index and no folder of the settings has a file.
    """
    wanted = [artifact for artifact in artifacts if not artifact.local]
    progress = progress or Silent()
    mirrors = find_mirrors(settings)
    web = open_web(settings)
    add_sites(web, mirrors)
    locations = Locations(mirrors, AnswerCache(None, web))  # without a folder: what the indexes say now
    found: dict[str, Published] = {}

    def ask(artifact: PythonArtifact) -> None:
        found[artifact.filename] = _find(artifact, locations, web)
        progress.advance(task)

    task = "ask package indexes"
    progress.begin(task, total=len(wanted), unit="files")
    try:
        run_parallel(ask, wanted, workers=web.connections, stop=web.stop)
    except BaseException:
        progress.end(task, unfinished())
        raise
    finally:
        web.close()
    progress.end(task)
    return found


def _find(artifact: PythonArtifact, locations: Locations, web: Web) -> Published:
    answers = []
    for mirror in locations.mirrors_for(artifact):
        try:
            return _ask(mirror, artifact, locations, web)
        except FetchFailure as failure:
            answers.append(f"{mirror.name}: {failure.brief}")
    raise MirrorError(
        f"{artifact.filename}: no package index has the file",
        details="\n".join(answers) or "no index may be asked for this private package",
        hint="run `rtbuild mirrors` to see which indexes were found, or export with --no-index",
    )


def _ask(mirror: Mirror, artifact: PythonArtifact, locations: Locations, web: Web) -> Published:
    """Return where `mirror` has `artifact`; one byte is read, since a location may be a guess.

    Raises:
        FetchFailure: if it does not have it.
    """
    failure = FetchFailure("no such file", missing=True)
    for location in locations.locations(mirror, artifact):
        try:
            _, size = web.head(location, 1)
        except FetchFailure as error:
            failure = error
            continue
        if size is None or size == artifact.size:
            # Without a login that the index's address has: the export is a file for others.
            url = redacted(location) if mirror.folder is None else Path(location).absolute().as_uri()
            return Published(url=url, index=mirror.name if mirror.folder is None else None)
        failure = FetchFailure(f"has {size} bytes instead of {artifact.size}")
    raise failure
