"""The `load` verb: load a release that is built into Docker."""

from __future__ import annotations

from rtbuild.layers.compose import compose_images
from rtbuild.platform import Platform
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings, load_settings
from rtbuild.verbs.build import load_images, open_environment, require_names
from rtbuild.verbs.size import built_layers
from rtbuild.workspace import Workspace


def load(
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Load the images of a release from the store into the machine's Docker, and return their names.

    Nothing is built or fetched. Without a Docker that answers, whatever its image store, a private engine gets them; it
    is started if the user is root.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform of the images; this machine's by default.
        settings: Where the store is and which Docker to use; by default those of `rtbuild.toml` in the workspace.
        progress: Listener for progress; none by default.

    Raises:
        StoreError: if the release is not built, or was built from other recipes or another lock.
        EngineError: if there is no usable Docker, or it does not take the image.
        RecipeError: if a recipe is missing or malformed.
        LockError: if the lock is missing or malformed.
    """
    settings = settings or load_settings({}, workspace.root)
    locked = workspace.read(release, platform)
    require_names(locked.release.version, settings)
    environment = open_environment(workspace, settings, progress or Silent())
    layers = built_layers(locked, environment.store)
    images = compose_images(locked.release, locked.lock, layers, environment.layout)
    load_images(images, environment)
    return tuple(image.reference(settings.repository) for image in images)
