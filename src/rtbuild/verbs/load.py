"""The `load` verb: load a release that is built into Docker."""

from __future__ import annotations

from rtbuild.layers.compose import compose_images
from rtbuild.platform import Platform, host_platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import load_images
from rtbuild.verbs.engine import open_engine
from rtbuild.verbs.size import built_layers
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.workspace import Workspace


def load(
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Load the images of a release from the store into Docker, and return their names.

    Nothing is built or fetched, but a private engine is started if the machine has no usable Docker.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform of the images; this machine's by default.
        settings: Where the store is and which Docker to use; by default those of `rtbuild.toml` in the workspace.
        progress: Who is told about the work; nobody by default.

    Raises:
        StoreError: if the release is not built, or was built from other recipes or another lock.
        EngineError: if there is no usable Docker, or it does not take the image.
        RecipeError: if a recipe is missing or malformed.
        LockError: if the lock is missing or malformed.
    """
    progress = progress or Silent()
    settings = settings or load_settings({}, workspace.root)
    recipe = workspace.release(release)
    target = platform or host_platform()
    recipe.require_platform(target)
    lock = workspace.read_lock(recipe.version, target)
    store = Store.open(settings.store, progress)
    environment = BuildEnvironment(
        store=store,
        settings=settings,
        open_engine=lambda: open_engine(workspace, settings, store, progress),
        progress=progress,
    )
    images = compose_images(recipe, lock, built_layers(recipe, lock, store), environment.layout)
    load_images(images, environment)
    return tuple(image.reference(settings.repository) for image in images)
