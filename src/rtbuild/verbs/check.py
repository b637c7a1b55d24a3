"""The `check` verb: run the checks of the runtime image on a release, or on any image of an engine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from rtbuild.conformance.report import CheckReport
from rtbuild.conformance.subject import Subject
from rtbuild.conformance.suite import run_checks, select_checks
from rtbuild.engine.select import find_engine
from rtbuild.errors import EngineError
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.engine import open_engine
from rtbuild.workspace import Workspace


def check(
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    only: Collection[str] = (),
    grace: float = 10,
    progress: Progress | None = None,
) -> CheckReport:
    """Build the image of `release`, load it into the engine, and check it in containers.

    Layers that the store has are not built again, and an image that the engine has is not loaded again. A check that
    fails is a result, not an error. The function has one keyword per option of the command.

    Args:
        workspace: the workspace with the recipes and the locks.
        release: a version, such as `8.0.0`, or a series, such as `8.0`.
        platform: the platform of the image; this machine's by default.
        settings: the workspace's by default, without environment variables.
        only: the names of the checks to run; all by default.
        grace: seconds that Airflow has to stop, 10 as for `docker stop`.
        progress: receives what happens.

    Raises:
        UsageError: if `only` names an unknown check.
        RtbuildError: if the build fails; see `build`.
        EngineError: if there is no usable engine, or it cannot load or run the image.
    """
    progress = progress or Silent()
    settings = settings or load_settings({}, workspace.root)
    checks = select_checks(only)
    target = platform or host_platform()
    recipe = workspace.release(release)
    result = build(workspace, recipe.version, platform=target, settings=settings, progress=progress)
    store = Store.open(settings.store, progress)
    engine = open_engine(workspace, settings, store, progress)
    engine.require_platform(target)
    reference = f"{settings.repository}:{recipe.version}"
    image = engine.inspect(reference)
    if image is None or image.id != result.manifest_digest:
        progress.begin("load")
        engine.load(store.layout, [reference], manifest=result.manifest_digest)
        progress.end("load", reference)
        image = engine.inspect(reference)
    if image is None:
        raise EngineError(f"{engine} has lost the image {reference}", hint="run the check again")
    subject = Subject(
        engine=engine,
        reference=reference,
        config=image.config,
        runtime=recipe.version,
        airflow=recipe.airflow,
        grace=grace,
    )
    report = run_checks(subject, checks, jobs=settings.jobs, progress=progress)
    return replace(report, image=f"{recipe.version} for {target}")


def check_image(
    image: str,
    *,
    settings: Settings | None = None,
    only: Collection[str] = (),
    grace: float = 10,
    progress: Progress | None = None,
) -> CheckReport:
    """Check an image that the engine has: a runtime image, or one built on top of it.

    The versions in the image's labels must agree with what is in it. The engine is the one that `settings` name, the
    machine's Docker, or a private engine that is running. A check that fails is a result, not an error.

    Args:
        image: its name or ID, as `docker run` takes it.
        settings: the current folder's by default, without environment variables.
        only: the names of the checks to run; all by default.
        grace: seconds that Airflow has to stop, 10 as for `docker stop`.
        progress: receives what happens.

    Raises:
        UsageError: if `only` names an unknown check.
        EngineError: if there is no usable engine, or it does not have the image.
    """
    settings = settings or load_settings({}, Path.cwd())
    checks = select_checks(only)
    engine = find_engine(settings)
    facts = engine.inspect(image)
    if facts is None:
        raise EngineError(f"{engine} has no image {image}", hint="load, pull or build it there first")
    subject = Subject(engine=engine, reference=image, config=facts.config, grace=grace)
    return run_checks(subject, checks, jobs=settings.jobs, progress=progress or Silent())
