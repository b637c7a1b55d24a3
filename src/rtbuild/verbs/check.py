"""The `check` verb: try every promise of a runtime image, on a release or on any image of an engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rtbuild.conformance import behaviour, statics
from rtbuild.conformance.report import CheckReport, CheckResult
from rtbuild.conformance.subject import Broken, Check, Subject
from rtbuild.engine.engine import Engine
from rtbuild.errors import EngineError, RtbuildError, UsageError
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.engine import open_engine
from rtbuild.workspace import Workspace

CHECKS: tuple[Check, ...] = (*statics.STATIC_CHECKS, *behaviour.BEHAVIOUR_CHECKS)
"""Every promise, in the order in which reports tell them."""


def check_release(
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings,
    only: Sequence[str] = (),
    grace: float = 10.0,
    progress: Progress | None = None,
) -> CheckReport:
    """Try the image of `release` (`8.0` or `8.0.0`); it is built where the store lacks a layer, and loaded into the
    engine where that lacks it.

    `only` names the checks to run (all); `grace` is how many seconds Airflow has to end in, 10 as with `docker stop`.
    Raises what `build` raises, and `UsageError` for a check that there is not.
    """
    progress = progress or Silent()
    _chosen(only)
    target = platform or host_platform()
    result = build(workspace, release, platform=target, settings=settings, progress=progress)
    store = Store.open(settings.store, progress)
    engine = open_engine(workspace, settings, store, progress)
    engine.require_platform(target)
    reference = f"{settings.repository}:{result.release}"
    facts = engine.inspect(reference)
    if facts is None or facts.id != result.manifest_digest:
        progress.begin("load")
        engine.load(store.layout, [reference], manifest=result.manifest_digest)
        progress.end("load", reference)
    recipe = workspace.release(result.release)
    report = check_image(
        engine,
        reference,
        runtime=recipe.version,
        airflow=recipe.airflow,
        only=only,
        grace=grace,
        jobs=settings.jobs,
        progress=progress,
    )
    return replace(report, image=f"{result.release} for {target}")


def check_image(
    engine: Engine,
    reference: str,
    *,
    runtime: str | None = None,
    airflow: str | None = None,
    only: Sequence[str] = (),
    grace: float = 10.0,
    jobs: int = 2,
    progress: Progress | None = None,
) -> CheckReport:
    """Try an image that `engine` has, a runtime image or one that was made from it.

    `runtime` and `airflow` are the versions that it must have; None leaves it at its own labels agreeing with what is
    in it. `jobs` checks run at once; `only` and `grace` are as for `check_release`. Raises
    `EngineError` where the engine does not have the image, and `UsageError` for a check that there is not; a promise
    that is not kept is a result.
    """
    begun = time.monotonic()
    progress = progress or Silent()
    checks = _chosen(only)
    facts = engine.inspect(reference)
    if facts is None:
        raise EngineError(f"{engine} has no image {reference}", hint="load, pull or build it there first")
    subject = Subject(
        engine=engine, reference=reference, config=facts.config, runtime=runtime, airflow=airflow, grace=grace
    )

    def run(check: Check) -> CheckResult:
        progress.begin(f"test {check.name}")
        result = _try(check, subject)
        progress.end(f"test {check.name}", "kept" if result.passed else "BROKEN")
        return result

    with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="check") as pool:
        results = tuple(pool.map(run, [check for check in checks if check.name not in behaviour.ALONE]))
    results += tuple(run(check) for check in checks if check.name in behaviour.ALONE)
    return CheckReport(
        image=reference,
        runtime=subject.labels.get(f"{statics.LABEL_PREFIX}.runtime.version", ""),
        airflow=subject.labels.get(f"{statics.LABEL_PREFIX}.airflow.version", ""),
        passed=all(result.passed for result in results),
        results=results,
        seconds=time.monotonic() - begun,
    )


def _chosen(only: Sequence[str]) -> tuple[Check, ...]:
    known = {check.name: check for check in CHECKS}
    for name in only:
        if name not in known:
            raise UsageError(f"there is no check {name!r}", hint=f"known checks: {', '.join(known)}")
    return tuple(check for check in CHECKS if not only or check.name in only)


def _try(check: Check, subject: Subject) -> CheckResult:
    begun = time.monotonic()
    details = ""
    try:
        check.body(subject)
    except Broken as broken:
        details = str(broken) or "not kept"
    except RtbuildError as error:
        # a container that cannot start, or a command that hangs, is the image's fault as far as can be told
        details = "\n".join(filter(None, (error.brief, error.details)))
    return CheckResult(
        name=check.name,
        promise=check.promise,
        passed=not details,
        details=details,
        seconds=time.monotonic() - begun,
    )
