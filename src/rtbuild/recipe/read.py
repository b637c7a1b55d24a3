"""Reading `recipes/releases/<version>.toml` with its layers and patches, and `recipes/engines/<name>.toml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement

from rtbuild.errors import RecipeError, UsageError
from rtbuild.formats.distribution_names import SDIST_SUFFIXES
from rtbuild.platform import PLATFORMS, Platform, platform_named
from rtbuild.recipe import names
from rtbuild.recipe.image import ImagePart, compose_image, image_texts, named_fields, read_image_settings
from rtbuild.recipe.layers import LayerFile, fill_layer, input_digest, read_layer, read_suites, requirement_list
from rtbuild.recipe.model import (
    DebianLayer,
    EngineRecipe,
    FilesLayer,
    Layer,
    MetadataRepair,
    Patch,
    PythonLayer,
    Release,
    Support,
)
from rtbuild.recipe.patches import PatchFile, read_patch
from rtbuild.recipe.table import RECIPE_HELP, Problems, Table, parse_toml
from rtbuild.text import name_hint

PROVIDER_PREFIX = "apache-airflow-providers-"
SUPPORT_STATUSES = ("stable", "lts", "yanked")

_NO_AIRFLOW = "write it as airflow = \"2.6.0\", or list the packages under 'packages'"


def list_releases(root: Path) -> tuple[str, ...]:
    """Return the versions that have a recipe, oldest first.

    Raises:
        RecipeError: if a file is not named after a version.
    """
    versions = _stems(root / "recipes" / "releases")
    for version in versions:
        try:
            names.release_version(version)
        except ValueError:
            hint = "name it after its version, such as 8.0.0.toml"
            raise RecipeError(f"recipes/releases/{version}.toml: is not named after a version", hint=hint) from None
    return tuple(sorted(versions, key=names.release_order))


def list_engines(root: Path) -> tuple[str, ...]:
    """Return the names of the engines that have a recipe, sorted."""
    return tuple(sorted(_stems(root / "recipes" / "engines")))


def read_release(root: Path, version: str) -> Release:
    """Read the release `version` of the workspace at `root`, with its layers and patches.

    Raises:
        RecipeError: if a recipe is missing or malformed; it lists every problem of the first malformed file.
    """
    file = f"recipes/releases/{version}.toml"
    known = ", ".join(list_releases(root)) or "none"
    content = parse_toml(root / file, file, RecipeError, missing=f"known releases: {known}", malformed=RECIPE_HELP)
    problems = Problems(file, RecipeError)
    table = Table(content, problems)

    airflow = table.parsed("airflow", names.pep440_version, "0") if table.known("airflow") else None
    python = table.parsed("python", names.python_series, "0.0") if table.known("python") else None
    system = table.string("os")
    released = _day(table, "released") if table.known("released") else None
    as_of = table.moment("as_of")
    platforms = _platforms(table)
    support = _support(table)
    layer_names = table.strings("layers")
    extras = table.strings("extras", ())
    providers = _providers(table)
    own_requirements = [*_airflow(airflow, extras, table), *providers, *requirement_list(table, "packages")]
    own_constraints = requirement_list(table, "constraints", constraint=True)
    build_constraints = requirement_list(table, "build_constraints", constraint=True)
    patch_ids = table.strings("patches", ())
    metadata = _metadata(table)
    own_image = read_image_settings(table.table("image"))
    table.finish()
    if airflow is None and (extras or providers):  # after unknown fields, of which one may be a misspelt 'airflow'
        table.wrong("extras" if extras else "providers", "the release has no 'airflow'", hint=_NO_AIRFLOW)
    problems.raise_if_any()

    layer_files = [_layer(root, name, index, problems) for index, name in enumerate(layer_names)]
    patch_files = [_patch(root, name, index, problems) for index, name in enumerate(patch_ids)]
    problems.raise_if_any()
    requirements = [*own_requirements, *(text for layer_file in layer_files for text in layer_file.requirements)]
    constraints = [*(text for layer_file in layer_files for text in layer_file.constraints), *own_constraints]
    layers = _inherit(layer_files, problems)
    _check_python(layers, requirements, constraints, problems)
    _check_series(layers, requirements, python, problems)
    patches = tuple(patch_file.patch for patch_file in patch_files)
    _check_patches(patches, layers, [*requirements, *constraints], problems)
    parts: list[ImagePart] = [*(layer_file.image for layer_file in layer_files), own_image]
    fields = {"version": version, "airflow": airflow, "python": python, "os": system}
    values = {name: value for name, value in fields.items() if value is not None}
    _check_values(layer_files, own_image, values, problems)
    problems.raise_if_any()

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
        metadata=metadata,
    )


def read_engine(root: Path, name: str) -> EngineRecipe:
    """Read the recipe of the private engine `name`.

    Raises:
        RecipeError: if the recipe is missing or malformed; it lists every problem.
    """
    file = f"recipes/engines/{name}.toml"
    known = ", ".join(list_engines(root)) or "none"
    content = parse_toml(root / file, file, RecipeError, missing=f"known engines: {known}", malformed=RECIPE_HELP)
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
        if suite not in {known_suite.suite for known_suite in suites}:
            wanted.wrong(package, f"comes from {suite!r}, which is not a [[suite]] of this file")
        packages.append((package, suite))
    table.finish()
    problems.raise_if_any()
    digest = input_digest(content)
    return EngineRecipe(name=name, title=title, packages=tuple(packages), suites=suites, inputs=((file, digest),))


def _stems(folder: Path) -> list[str]:
    # Editors and file managers leave hidden files behind.
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
    """Raise if `name` has no file; `kind` is the release's field and the folder of such files."""
    known = _stems(root / "recipes" / kind)
    if name not in known:
        hint = name_hint(name, known, kind)
        problems.add(f"{kind}[{index}]", f"no such file: recipes/{kind}/{name}.toml", hint=hint)
        problems.raise_if_any()


def _inherit(layer_files: Sequence[LayerFile], problems: Problems) -> tuple[Layer, ...]:
    """Check the order of layers, and give a Debian layer without suites those of its parent."""
    layers: list[Layer] = []
    below: dict[str, DebianLayer] = {}
    for index, layer in enumerate(layer_file.layer for layer_file in layer_files):
        place = f"layers[{index}]"
        if not isinstance(layer, DebianLayer):
            layers.append(layer)
            continue
        above = next((other for other in layers if not isinstance(other, DebianLayer)), None)
        if above is not None:
            kind = "layer of files" if isinstance(above, FilesLayer) else "Python layer"
            problems.add(place, f"the Debian layer {layer.name} is above a {kind}", hint=f"list it before {above.name}")
        if layer.parent is None:
            if below:
                hint = f'set parent = "{next(reversed(below))}" in recipes/layers/{layer.name}.toml'
                problems.add(place, f"the layer {layer.name} has no parent, but is not the lowest layer", hint=hint)
            if not layer.suites:
                hint = f"add a [[suite]] to recipes/layers/{layer.name}.toml"
                problems.add(place, f"the layer {layer.name} has no suites", hint=hint)
        elif layer.parent not in below:
            hint = f"list {layer.parent} before {layer.name}, or change the parent in recipes/layers/{layer.name}.toml"
            problems.add(place, f"the parent {layer.parent!r} of {layer.name} is not below it", hint=hint)
        elif layer.parent != (nearest := next(reversed(below))):
            # It would be built without the packages of the layer just below it, and hide them from dpkg.
            hint = f'set parent = "{nearest}" in recipes/layers/{layer.name}.toml, the Debian layer just below it'
            problems.add(
                place, f"the parent of {layer.name} is {layer.parent}, but {nearest} lies between them", hint=hint
            )
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
            problems.add(
                "constraints", f"{name} is constrained twice: {bound[name]!r} and {text!r}", hint="keep one of them"
            )
        bound[name] = text
    python_layers = [layer for layer in layers if isinstance(layer, PythonLayer)]
    for layer in python_layers:
        for root in layer.roots:
            if names.normalized(Requirement(root).name) not in seen:
                hint = f"require it in the release, or remove it from recipes/layers/{layer.name}.toml"
                problems.add("layers", f"{root!r} is a root of {layer.name}, but nothing requires it", hint=hint)
    if python_layers and [bool(layer.roots) for layer in python_layers].count(False) != 1:
        hint = "leave out 'roots' and 'packages' in exactly one Python layer, which then holds all other packages"
        problems.add("layers", "exactly one Python layer must have no roots", hint=hint)


def _check_patches(
    patches: Sequence[Patch], layers: Sequence[Layer], requirements: Sequence[str], problems: Problems
) -> None:
    """Check what is known without a lock: the versions of most patched packages are pinned."""
    local = {package.name for layer in layers if isinstance(layer, PythonLayer) for package in layer.packages}
    pins = {}
    for text in requirements:
        requirement = Requirement(text)
        for specifier in requirement.specifier:
            if names.is_pin(specifier):
                pins[names.normalized(requirement.name)] = specifier.version
    for index, patch in enumerate(patches):
        place = f"patches[{index}]"
        if patch.package in local:
            hint = "change its source instead"
            problems.add(place, f"{patch.id} is for {patch.package}, which is a local package", hint=hint)
        elif patch.package in pins and (misfit := patch.misfit(pins[patch.package])):
            problem, hint = misfit
            problems.add(place, f"{patch.id} {problem}", hint=hint)


def _check_series(layers: Sequence[Layer], requirements: Sequence[str], python: str | None, problems: Problems) -> None:
    """Check that Python packages have a Python and a layer, and that Python layers have packages."""
    python_layers = [layer for layer in layers if isinstance(layer, PythonLayer)]
    if requirements and not python_layers:
        hint = "add a layer of kind 'python' that has no roots"
        problems.add("layers", f"there is no Python layer for {requirements[0]}", hint=hint)
    if python_layers and not requirements:
        problems.add("packages", f"nothing is required for the Python layer {python_layers[0].name}")
    if (python_layers or requirements) and python is None:
        problems.add("python", "is missing, expected a string", hint='write it as python = "3.13"')


def _check_values(
    layer_files: Sequence[LayerFile], own: ImagePart, values: Mapping[str, str], problems: Problems
) -> None:
    """Check that the release has every field that `{...}` names in its layers and in its own table."""
    places = [(f"layers[{index}]", f"the layer {file.layer.name}", file) for index, file in enumerate(layer_files)]
    texts = [
        (place, what, text)
        for place, what, file in places
        for text in (*image_texts(file.image), *(installed.content or "" for installed in file.layer.files))
    ]
    texts += [("image", "it", text) for text in image_texts(own)]
    seen = set()
    for place, what, text in texts:
        for name in named_fields(text):
            if name not in values and (place, name) not in seen:
                seen.add((place, name))
                hint = f"add {name!r} to the release, or leave out what uses it"
                problems.add(place, f"{what} uses {{{name}}}, but the release has no {name!r}", hint=hint)


def _airflow(version: str | None, extras: Sequence[str], table: Table) -> list[str]:
    if version is None:
        return []
    text = f"apache-airflow[{','.join(sorted(extras))}]=={version}" if extras else f"apache-airflow=={version}"
    try:
        names.requirement(text)
    except ValueError as error:
        table.wrong("extras", str(error))
    return [text]


def _providers(table: Table) -> list[str]:
    providers = table.table("providers")
    seen: dict[str, str] = {}
    for name, version in providers.string_items():
        normal = names.normalized(name)
        if normal in seen:
            providers.wrong(name, f"is the same provider as {seen[normal]}", hint="keep one of them")
        if not normal.startswith(PROVIDER_PREFIX):
            providers.wrong(name, "is not an Airflow provider", hint="list it in 'packages'")
        try:
            names.pep440_version(version)
        except ValueError as error:
            providers.wrong(name, f"{version!r}: {error}")
        seen[normal] = name
    return [f"{normal}=={providers.string(name)}" for normal, name in sorted(seen.items())]


def _metadata(table: Table) -> tuple[MetadataRepair, ...]:
    repairs: list[MetadataRepair] = []
    for entry in table.tables("metadata"):
        repair = MetadataRepair(
            file=entry.string("file"),
            requirement=entry.string("requirement"),
            replacement=entry.parsed("replacement", _requirement, "") if entry.known("replacement") else None,
            reason=entry.string("reason"),
        )
        entry.finish()
        if repair.file and not repair.file.endswith((".whl", *SDIST_SUFFIXES)):
            entry.wrong("file", f"{repair.file!r} is not the file name of a wheel or an sdist")
        if any((other.file, other.requirement) == (repair.file, repair.requirement) for other in repairs):
            entry.wrong("requirement", f"{repair.requirement!r} of {repair.file} is replaced twice", hint="keep one")
        repairs.append(repair)
    return tuple(repairs)


def _requirement(text: str) -> str:
    return str(names.requirement(text))


def _platforms(table: Table) -> tuple[Platform, ...]:
    platforms = []
    names_found = table.strings("platforms")
    for index, name in enumerate(names_found):
        try:
            platforms.append(platform_named(name))
        except UsageError as error:
            table.wrong(f"platforms[{index}]", error.brief, hint=error.hint)
    if table.has("platforms") and not names_found:
        table.wrong("platforms", "is empty", hint=f"known platforms: {', '.join(PLATFORMS)}")
    return tuple(platforms)


def _support(table: Table) -> Support | None:
    if not table.known("support"):
        return None
    support = table.table("support")
    status = support.string("status")
    if status and status not in SUPPORT_STATUSES:
        support.wrong("status", f"unknown status {status!r}", hint=f"known statuses: {', '.join(SUPPORT_STATUSES)}")
    until = support.parsed("until", names.month, "") if support.known("until") else None
    support.finish()
    return Support(status=status, until=until)


def _day(table: Table, name: str) -> str:
    text = table.string(name)
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            table.wrong(name, f"{text!r} is not a date", hint="write it as 2023-04-30")
    return text
