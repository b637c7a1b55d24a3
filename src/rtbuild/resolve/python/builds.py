"""Lock what building the sdists of a release needs: wheels only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rtbuild.errors import ResolutionError
from rtbuild.lockfile.model import PythonArtifact

Resolve = Callable[[tuple[str, ...]], tuple[PythonArtifact, ...]]
"""Resolves requirements with the release's `as_of` and build constraints; the artifacts have an empty `layer`."""


def lock_builds(sdists: Mapping[str, Sequence[str]], resolve: Resolve) -> tuple[PythonArtifact, ...]:
    """Resolve the build requirements of `sdists`, given by name.

    If all requirements agree, as those of setuptools projects usually do, the sdists share one build environment, and
    the artifacts' `layer` is empty. Otherwise each sdist has its own, and `layer` is the sdist's name.

    Raises:
        ResolutionError: if build requirements cannot be satisfied, or one has no wheel.
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
        artifacts = _wheels(resolve(tuple(sorted(sdists[name]))), {name: sdists[name]})
        separate += [replace(artifact, layer=name) for artifact in artifacts]
    return tuple(separate)


def _wheels(artifacts: tuple[PythonArtifact, ...], sdists: Mapping[str, Sequence[str]]) -> tuple[PythonArtifact, ...]:
    for artifact in artifacts:
        if not artifact.is_wheel:
            raise ResolutionError(
                f"building {', '.join(sorted(sdists))} needs {artifact.filename}, which would have to be built first",
                hint=f"constrain {artifact.name} to a version with a wheel in the release's build_constraints",
            )
    return artifacts
