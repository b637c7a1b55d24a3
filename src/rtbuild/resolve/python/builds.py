"""What building the sdists of a release needs: locked like everything else, and wheels only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rtbuild.errors import ResolutionError
from rtbuild.lockfile.model import PythonArtifact

Resolve = Callable[[tuple[str, ...]], tuple[PythonArtifact, ...]]
"""Resolves requirements under the release's moment and build constraints; the artifacts' `layer` is empty."""


def lock_builds(sdists: Mapping[str, Sequence[str]], resolve: Resolve) -> tuple[PythonArtifact, ...]:
    """The build requirements of the sdists (by name, with what each needs to be built), resolved.

    One environment for all where their requirements agree (`layer` empty), as setuptools projects' do. Otherwise one
    for each, and `layer` is the sdist's name. Raises `ResolutionError`, also where a build requirement has no wheel.
    """
    if not sdists:
        return ()
    everything = tuple(sorted({requirement for needed in sdists.values() for requirement in needed}))
    try:
        shared = resolve(everything)
    except ResolutionError:
        if len(sdists) == 1:
            raise
    else:
        return _wheels(shared, sdists)
    separate: list[PythonArtifact] = []
    for name in sorted(sdists):
        found = _wheels(resolve(tuple(sorted(sdists[name]))), {name: sdists[name]})
        separate += [replace(artifact, layer=name) for artifact in found]
    return tuple(separate)


def _wheels(artifacts: tuple[PythonArtifact, ...], sdists: Mapping[str, Sequence[str]]) -> tuple[PythonArtifact, ...]:
    for artifact in artifacts:
        if not artifact.is_wheel:
            raise ResolutionError(
                f"building {', '.join(sorted(sdists))} needs {artifact.filename}, which would have to be built too",
                hint=f"constrain {artifact.name} to a version with a wheel in the recipe's build constraints",
            )
    return artifacts
