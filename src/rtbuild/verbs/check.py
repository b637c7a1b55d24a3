"""The `check` verb: check what a release, or any image of an engine, promises."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from rtbuild.conformance.report import CheckReport
from rtbuild.conformance.subject import Subject, is_runtime
from rtbuild.conformance.suite import require_known, run_checks, select_checks
from rtbuild.engine import select
from rtbuild.errors import EngineError
from rtbuild.platform import Platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.verbs.build import build_locked, open_environment
from rtbuild.workspace import Workspace


def check(  # noqa: PLR0913
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    only: Collection[str] = (),
    grace: float = 10,
    progress: Progress | None = None,
) -> CheckReport:
    """Build the image of `release`, load it into the machine's Docker, and check it in containers.

    A runtime image (its labels tell) has promises of its own, any other image those of its recipes and packages.
    Layers that the store has are not built again, and an image that Docker has is not loaded again. Any Docker will do
    for the checks, also one that cannot build; without one that answers it is the private engine. A check that
    fails is a result, not an error. Like every public verb, it takes its options as keywords.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform of the image; this machine's by default.
        settings: Where files and engines are; by default those of `rtbuild.toml` in the workspace.
        only: The names of the checks to run; all by default.
        grace: How many seconds Airflow has to stop; 10 by default, as for `docker stop`.
        progress: Listener for progress; none by default.

    Raises:
        UsageError: if `only` names an unknown check, or one that is not for such an image.
        RtbuildError: if the build fails; see `build`.
        EngineError: if there is no usable engine, or it cannot load or run the image.
    """
    progress = progress or Silent()
    settings = settings or load_settings({}, workspace.root)
    require_known(only)
    locked = workspace.read(release, platform)
    declared = locked.release.image
    checks = select_checks(only, runtime=is_runtime(dict(declared.labels), dict(declared.env)))
    version, target = locked.release.version, locked.lock.platform
    environment = open_environment(workspace, settings, progress)
    result = build_locked(locked, environment)
    engine = environment.docker
    engine.require_platform(target)
    reference = f"{settings.repository}:{version}"
    image = engine.inspect(reference)
    # The ID is one or the other, depending on the image store
    if image is None or image.id not in (result.manifest_digest, result.image_id):
        progress.begin("load")
        engine.load(environment.store.layout.root, {reference: result.manifest_digest})
        progress.end("load", f"{reference} in {engine.endpoint.title}")
        image = engine.inspect(reference)
    if image is None:
        raise EngineError(f"{engine} has lost the image {reference}", hint="run the check again")
    subject = Subject(
        engine=engine,
        reference=reference,
        config=image.config,
        runtime=version,
        airflow=locked.release.airflow,
        settings=declared,
        grace=grace,
    )
    report = run_checks(subject, checks, jobs=settings.jobs, progress=progress)
    return replace(report, image=f"{version} for {target}")


def check_image(
    image: str,
    *,
    settings: Settings | None = None,
    only: Collection[str] = (),
    grace: float = 10,
    progress: Progress | None = None,
) -> CheckReport:
    """Check an image that Docker has, such as one built on top of a release.

    Labels and variables tell whether it is a runtime image, whose versions must agree with what is in it. Docker is the
    one that `settings` name, the machine's of any version and with any image store, or a private engine that is
    running. A check that fails is a result, not an error.

    Args:
        image: Its name or ID, as for `docker run`.
        settings: Which Docker to use; by default the settings of `rtbuild.toml` in the current folder or above it.
        only: The names of the checks to run; all by default.
        grace: How many seconds Airflow has to stop; 10 by default, as for `docker stop`.
        progress: Listener for progress; none by default.

    Raises:
        UsageError: if `only` names an unknown check, or one that is not for such an image.
        EngineError: if there is no Docker that answers, or it does not have the image.
    """
    settings = settings or load_settings({}, Path.cwd())
    require_known(only)
    engine = select.find_docker(settings)
    facts = engine.inspect(image)
    if facts is None:
        raise EngineError(f"{engine} has no image {image}", hint="load, pull or build it there first")
    subject = Subject(engine=engine, reference=image, config=facts.config, grace=grace)
    checks = select_checks(only, runtime=subject.is_runtime)
    return run_checks(subject, checks, jobs=settings.jobs, progress=progress or Silent())
