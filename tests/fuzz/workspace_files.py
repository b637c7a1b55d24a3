"""Targets for what people write: locks, recipes, patches, packages, and the settings of rtbuild, apt, pip and netrc."""

from __future__ import annotations

from collections.abc import Callable

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import LockError, RecipeError, UsageError
from rtbuild.lockfile.model import EngineLock
from rtbuild.lockfile.read import read_engine_lock, read_lock, write_engine_lock, write_lock
from rtbuild.mirror.apt import apt_mirrors
from rtbuild.mirror.find import pip_index
from rtbuild.mirror.logins import netrc_logins
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.patches import read_patch
from rtbuild.recipe.read import read_engine, read_release
from rtbuild.settings import load_settings
from tests.fakes import locks, packages, patches, workspaces
from tests.fuzz.target import SCRATCH, Target


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [
        Target("lock", [_lock()], _read_lock, (LockError,)),
        Target("engine-lock", [_engine_lock()], _read_engine_lock, (LockError,)),
        Target(
            "recipe", [workspaces.RELEASE.encode()], _recipe("recipes/releases/8.0.0.toml"), (RecipeError, UsageError)
        ),
        Target(
            "layer-recipe",
            [workspaces.BASE_OS.encode()],
            _recipe("recipes/layers/base-os.toml"),
            (RecipeError,),
            slow=True,
        ),
        Target("engine-recipe", [workspaces.ENGINE.encode()], _engine_recipe, (RecipeError,)),
        Target("patch-recipe", [_patch_recipe()], _patch, (RecipeError,)),
        Target("patch", [patches.PATCH.encode()], _diff, (RecipeError,)),
        Target("package-recipe", [packages.PYPROJECT.encode()], _package, (RecipeError,)),
        Target(
            "settings", [b'retries = 3\npython_indexes = ["https://index.invalid/simple"]\n'], _settings, (UsageError,)
        ),
        Target(
            "apt-sources",
            [
                b"deb [arch=amd64] http://a.invalid/debian stable main\nmachine a.invalid login x password y\n",
                b"Types: deb\nURIs: https://a.invalid/debian\nSuites: stable\nComponents: main\n",
            ],
            _apt_sources,
            (),
            slow=True,
        ),
        Target(
            "pip-conf",
            [
                b"[global]\ntimeout = 60\nindex-url = https://user:secret@a.invalid/simple\n",
                b"[install]\nindex_url =\n    https://[::1]:8080/simple\n    second\n[list]\nformat = columns\n",
            ],
            _pip_conf,
            (),
        ),
        Target("netrc", [b"machine a.invalid login x password y\n", b"macdef z\nls\n\ndefault login q\n"], _netrc, ()),
    ]


def _lock() -> bytes:
    path = SCRATCH.fresh() / "linux-amd64.toml"
    lock = locks.lock(
        debs=(locks.deb("libc6"), locks.deb("hello", depends=("libc6",))),
        pythons=(locks.wheel("spam"), locks.wheel("eggs")),
    )
    write_lock(path, lock)
    return path.read_bytes()


def _read_lock(content: bytes) -> None:
    path = SCRATCH.fresh() / "linux-amd64.toml"
    path.write_bytes(content)
    read_lock(path)


def _engine_lock() -> bytes:
    path = SCRATCH.fresh() / "linux-amd64.toml"
    lock = EngineLock(
        engine="default",
        platform=PLATFORMS["linux/amd64"],
        inputs=(("recipes/engines/default.toml", Sha256("c" * 64)),),
        debs=(locks.deb("runc", layer=""), locks.deb("docker.io", layer="", depends=("runc",))),
        suites=(locks.suite(),),
    )
    write_engine_lock(path, lock)
    return path.read_bytes()


def _read_engine_lock(content: bytes) -> None:
    path = SCRATCH.fresh() / "linux-amd64.toml"
    path.write_bytes(content)
    read_engine_lock(path)


def _recipe(file: str) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        root = SCRATCH.fresh()
        workspaces.write_workspace(root)
        (root / file).write_bytes(content)
        read_release(root, "8.0.0")

    return run


def _engine_recipe(content: bytes) -> None:
    root = SCRATCH.fresh()
    (root / "recipes/engines").mkdir(parents=True)
    (root / "recipes/engines/default.toml").write_bytes(content)
    read_engine(root, "default")


def _patch_recipe() -> bytes:
    return f'{patches.RECORD}upstream = "https://a.invalid/1"\nobsolete = "4.4.0"\n{_digest(patches.PATCH)}'.encode()


def _digest(diff: str) -> str:
    return f'sha256 = "{sha256_bytes(diff.encode())}"\n'


def _patch(content: bytes) -> None:
    root = SCRATCH.fresh()
    patches.write_patch(root, "mend")
    (root / "recipes/patches/mend.toml").write_bytes(content)
    read_patch(root, "mend")


def _diff(content: bytes) -> None:
    """Read a patch whose record has the right digest, so that the diff is parsed."""
    root = SCRATCH.fresh()
    patches.write_patch(root, "mend", f'{patches.RECORD}sha256 = "{sha256_bytes(content)}"\n')
    (root / "recipes/patches/mend.patch").write_bytes(content)
    read_patch(root, "mend")


def _package(content: bytes) -> None:
    root = SCRATCH.fresh()
    packages.write_workspace_with_package(root)
    (root / packages.FOLDER / "pyproject.toml").write_bytes(content)
    read_release(root, "8.0.0")


def _settings(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / "rtbuild.toml").write_bytes(content)
    load_settings({}, folder)


def _apt_sources(content: bytes) -> None:
    root = SCRATCH.fresh()
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    for name in ("sources.list", "sources.list.d/x.sources", "auth.conf"):
        (root / "etc/apt" / name).write_bytes(content)
    for mirror in apt_mirrors(root)[0]:
        assert isinstance(mirror.name, str)


def _pip_conf(content: bytes) -> None:
    root = SCRATCH.fresh()
    (root / "etc").mkdir()
    (root / "etc/pip.conf").write_bytes(content)
    mirror = pip_index({}, root=root, prefix=root / "prefix")
    assert isinstance(mirror.name, str)
    assert mirror.folder is None or mirror.folder.is_absolute()


def _netrc(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / ".netrc").write_bytes(content)
    netrc_logins({"HOME": str(folder)})
