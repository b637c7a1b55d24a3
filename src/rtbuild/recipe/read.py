"""Reading recipes: `recipes/releases/<version>.toml` with the layers it names, and `recipes/engines/<name>.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement

from rtbuild.errors import RecipeError, UsageError
from rtbuild.platform import PLATFORMS, Platform, platform_named
from rtbuild.recipe import names
from rtbuild.recipe.image import ImagePart, compose_image, read_image_settings
from rtbuild.recipe.layers import LayerFile, fill_layer, input_digest, read_layer, read_suites, requirement_list
from rtbuild.recipe.model import DebianLayer, EngineRecipe, FilesLayer, Layer, Patch, PythonLayer, Release, Support
from rtbuild.recipe.patches import PatchFile, read_patch
from rtbuild.recipe.table import RECIPE_HELP, Problems, Table, near_name, parse_toml

PROVIDER_PREFIX = "apache-airflow-providers-"
STATUSES = ("stable", "lts", "yanked")


def list_releases(root: Path) -> tuple[str, ...]:
    """The versions that have a recipe, oldest first; raises `RecipeError` for a file that is not named as a version."""
    found = _stems(root / "recipes" / "releases")
    for version in found:
        try:
            names.release_version(version)
        except ValueError as error:
            raise RecipeError(f"recipes/releases/{version}.toml: is not named as a release", hint=str(error)) from None
    return tuple(sorted(found, key=names.release_order))


def list_engines(root: Path) -> tuple[str, ...]:
    """The engines that have a recipe, by name."""
    return tuple(sorted(_stems(root / "recipes" / "engines")))


def read_release(root: Path, version: str) -> Release:
    """Read the release `version` of the workspace at `root`, put together with its layers.

    Raises `RecipeError`; problems of one file are collected before they are raised.
    """
    file = f"recipes/releases/{version}.toml"
    known = ", ".join(list_releases(root)) or "none"
    content = parse_toml(root / file, file, RecipeError, hint=f"known releases: {known}", mend=RECIPE_HELP)
    problems = Problems(file, RecipeError)
    table = Table(content, problems)

    airflow = table.parsed("airflow", names.python_version, "0")
    python = table.parsed("python", names.python_series, "0.0")
    system = table.string("os")
    released = _day(table, "released")
    as_of = table.moment("as_of")
    platforms = _platforms(table)
    support = _support(table)
    extras = table.strings("extras", ())
    layer_names = table.strings("layers")
    own_requirements = [_airflow(airflow, extras, table), *_providers(table), *requirement_list(table, "packages")]
    own_constraints = requirement_list(table, "constraints", constraint=True)
    build_constraints = requirement_list(table, "build_constraints", constraint=True)
    patch_ids = table.strings("patches", ())
    own_image = read_image_settings(table.table("image"))
    table.finish()
    problems.raise_if_any()

    layer_files = [_layer(root, name, index, problems) for index, name in enumerate(layer_names)]
    patch_files = [_patch(root, name, index, problems) for index, name in enumerate(patch_ids)]
    problems.raise_if_any()
    requirements = [*own_requirements, *(text for one in layer_files for text in one.requirements)]
    constraints = [*(text for one in layer_files for text in one.constraints), *own_constraints]
    layers = _inherit(layer_files, problems)
    _check_python(layers, requirements, constraints, problems)
    patches = tuple(one.patch for one in patch_files)
    _check_patches(patches, layers, [*requirements, *constraints], problems)
    problems.raise_if_any()

    parts: list[ImagePart] = [*(one.image for one in layer_files), own_image]
    values = {"version": version, "airflow": airflow, "python": python, "os": system}
    inputs = {file: input_digest(content)}
    for layer_file in layer_files:
        inputs.update(layer_file.inputs)
    for patch_file in patch_files:
        inputs.update(patch_file.inputs)
    return Release(
        version=version,
        airflow=airflow,
        python_series=python,
        os=system,
        released=released,
        as_of=as_of,
        platforms=platforms,
        support=support,
        layers=tuple(fill_layer(layer, values) for layer in layers),
        image=compose_image(parts, values),
        requirements=tuple(requirements),
        constraints=tuple(constraints),
        build_constraints=build_constraints,
        inputs=tuple(sorted(inputs.items())),
        patches=patches,
    )


def read_engine(root: Path, name: str) -> EngineRecipe:
    """Read the recipe of the private engine `name`; raises `RecipeError`."""
    file = f"recipes/engines/{name}.toml"
    known = ", ".join(list_engines(root)) or "none"
    content = parse_toml(root / file, file, RecipeError, hint=f"known engines: {known}", mend=RECIPE_HELP)
    problems = Problems(file, RecipeError)
    table = Table(content, problems)
    title = table.string("title")
    suites = read_suites(table)
    packages = []
    wanted = table.table("packages", required=True)
    for package, suite in wanted.string_items():
        try:
            names.debian_name(package)
        except ValueError as error:
            wanted.wrong(package, str(error))
        if suite not in {one.suite for one in suites}:
            wanted.wrong(package, f"comes from {suite!r}, which is no [[suite]] of this file")
        packages.append((package, suite))
    table.finish()
    problems.raise_if_any()
    digest = input_digest(content)
    return EngineRecipe(name=name, title=title, packages=tuple(packages), suites=suites, inputs=((file, digest),))


def _stems(folder: Path) -> list[str]:
    # Editors and file managers leave hidden files behind; those are nobody's recipe.
    return [path.stem for path in folder.glob("*.toml") if not path.name.startswith(".")]


def _layer(root: Path, name: str, index: int, problems: Problems) -> LayerFile:
    _require_known(root, "layers", name, index, problems)
    return read_layer(root, name)


def _patch(root: Path, id: str, index: int, problems: Problems) -> PatchFile:
    try:
        names.plain_name(id)
    except ValueError as error:
        problems.add(f"patches[{index}]", f"{id!r}: {error}")
        problems.raise_if_any()
    _require_known(root, "patches", id, index, problems)
    return read_patch(root, id)


def _require_known(root: Path, kind: str, name: str, index: int, problems: Problems) -> None:
    """Stop at a name that has no file; `kind` is the release's field and the folder of such files."""
    known = _stems(root / "recipes" / kind)
    if name not in known:
        hint = near_name(name, known, kind)
        problems.add(f"{kind}[{index}]", f"there is no recipes/{kind}/{name}.toml", hint=hint)
        problems.raise_if_any()


def _inherit(layer_files: Sequence[LayerFile], problems: Problems) -> tuple[Layer, ...]:
    """Check the order of layers; a Debian layer that names no suites has its parent's."""
    layers: list[Layer] = []
    below: dict[str, DebianLayer] = {}
    for index, layer in enumerate(one.layer for one in layer_files):
        place = f"layers[{index}]"
        if not isinstance(layer, DebianLayer):
            layers.append(layer)
            continue
        above = next((other for other in layers if not isinstance(other, DebianLayer)), None)
        if above is not None:
            kind = "layer of files" if isinstance(above, FilesLayer) else "Python layer"
            problems.add(place, f"the Debian layer {layer.name} stands above a {kind}", hint="list it before")
        if layer.parent is None:
            if below:
                hint = f'write parent = "{next(reversed(below))}" in recipes/layers/{layer.name}.toml'
                problems.add(place, f"the layer {layer.name} has no parent, but is not the lowest one", hint=hint)
            if not layer.suites:
                hint = f"write [[suite]] in recipes/layers/{layer.name}.toml"
                problems.add(place, f"the layer {layer.name} names no suite", hint=hint)
        elif layer.parent not in below:
            hint = f"list {layer.parent} before {layer.name}, or name another in recipes/layers/{layer.name}.toml"
            problems.add(place, f"the parent {layer.parent!r} of {layer.name} does not stand below it", hint=hint)
        else:
            layer = replace(layer, suites=layer.suites or below[layer.parent].suites)
        below[layer.name] = layer
        layers.append(layer)
    return tuple(layers)


def _check_python(
    layers: Sequence[Layer], requirements: Sequence[str], constraints: Sequence[str], problems: Problems
) -> None:
    seen: dict[str, str] = {}
    for text in requirements:
        name = names.normalized(Requirement(text).name)
        if name in seen:
            problems.add("", f"{name} is required twice: {seen[name]!r} and {text!r}", hint="keep one of them")
        seen[name] = text
    bound: dict[str, str] = {}
    for text in constraints:
        name = names.normalized(Requirement(text).name)
        if name in bound:
            problems.add("constraints", f"{name} is bound twice: {bound[name]!r} and {text!r}", hint="keep one of them")
        bound[name] = text
    python_layers = [layer for layer in layers if isinstance(layer, PythonLayer)]
    for layer in python_layers:
        for root in layer.roots:
            if names.normalized(Requirement(root).name) not in seen:
                hint = f"require it in the release, or take it out of recipes/layers/{layer.name}.toml"
                problems.add("layers", f"{layer.name} holds {root!r}, which nothing requires", hint=hint)
    if python_layers and [bool(layer.roots) for layer in python_layers].count(False) != 1:
        hint = "one Python layer, and only one, has neither 'roots' nor 'packages': it holds the rest"
        problems.add("layers", "it is not clear which Python layer holds the rest", hint=hint)


def _check_patches(
    patches: Sequence[Patch], layers: Sequence[Layer], requirements: Sequence[str], problems: Problems
) -> None:
    """What can be told before there is a lock: most packages that are patched are pinned."""
    local = {package.name for layer in layers if isinstance(layer, PythonLayer) for package in layer.packages}
    pins = {}
    for text in requirements:
        wanted = Requirement(text)
        pins.update({names.normalized(wanted.name): one.version for one in wanted.specifier if names.is_pin(one)})
    for index, patch in enumerate(patches):
        place = f"patches[{index}]"
        if patch.package in local:
            hint = "change its source instead"
            problems.add(place, f"{patch.id} is for {patch.package}, a package of the recipes", hint=hint)
        elif patch.package in pins and (misfit := patch.misfit(pins[patch.package])):
            problems.add(place, f"{patch.id} {misfit[0]}", hint=misfit[1])


def _airflow(version: str, extras: Sequence[str], table: Table) -> str:
    text = f"apache-airflow[{','.join(sorted(extras))}]=={version}" if extras else f"apache-airflow=={version}"
    try:
        names.requirement(text)
    except ValueError as error:
        table.wrong("extras", str(error))
    return text


def _providers(table: Table) -> list[str]:
    providers = table.table("providers")
    seen: dict[str, str] = {}
    for name, version in providers.string_items():
        normal = names.normalized(name)
        if normal in seen:
            providers.wrong(name, f"is the same provider as {seen[normal]}", hint="keep one of them")
        if not normal.startswith(PROVIDER_PREFIX):
            providers.wrong(name, "is not a provider of Airflow", hint="name it in 'packages'")
        try:
            names.python_version(version)
        except ValueError as error:
            providers.wrong(name, f"{version!r}: {error}")
        seen[normal] = name
    return [f"{normal}=={providers.string(name)}" for normal, name in sorted(seen.items())]


def _platforms(table: Table) -> tuple[Platform, ...]:
    platforms = []
    names_found = table.strings("platforms")
    for index, name in enumerate(names_found):
        try:
            platforms.append(platform_named(name))
        except UsageError as error:
            table.wrong(f"platforms[{index}]", error.brief, hint=error.hint)
    if table.has("platforms") and not names_found:
        table.wrong("platforms", "names no platform", hint=f"known platforms: {', '.join(PLATFORMS)}")
    return tuple(platforms)


def _support(table: Table) -> Support:
    support = table.table("support", required=True)
    status = support.string("status")
    if status and status not in STATUSES:
        support.wrong("status", f"unknown status {status!r}", hint=f"one of {', '.join(STATUSES)}")
    until = support.parsed("until", names.month, "") if support.known("until") else None
    support.finish()
    return Support(status=status, until=until)


def _day(table: Table, name: str) -> str:
    text = table.string(name)
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            table.wrong(name, f"{text!r} is not a day", hint="write it as 2023-04-30")
    return text
