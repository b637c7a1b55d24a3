"""Parameters that several commands share: releases, platforms, folders, builders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from rtbuild.cli.invocation import Invocation
    from rtbuild.platform import Platform

F = TypeVar("F", bound=Callable[..., Any])


class _NamedPath(click.Path):
    """A path; an empty one, such as that of an unset variable, is an error instead of the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = _NamedPath(file_okay=False, path_type=Path)
FILE = _NamedPath(dir_okay=False, path_type=Path)


class ReleaseName(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A version or a series. The shell completes the ones that have a recipe."""

    name = "release"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from rtbuild.errors import RtbuildError

        try:
            versions = _invocation(ctx).workspace().releases()
        except RtbuildError:
            return []
        series = dict.fromkeys(version.rpartition(".")[0] for version in versions)
        return [CompletionItem(name) for name in (*series, *versions) if name.startswith(incomplete)]


class LockedPackage(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A package. The shell completes those in the lock of the argument `release`."""

    name = "package"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from rtbuild.errors import RtbuildError

        try:
            lock = _invocation(ctx).workspace().read(ctx.params["release"], ctx.params.get("platform")).lock
        except RtbuildError:
            return []
        names = {deb.name for deb in lock.debs} | {python.name for python in (*lock.pythons, *lock.build_pythons)}
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


class PlatformName(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """One platform, in any spelling that Docker takes."""

    name = "platform"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Platform:
        platforms: tuple[Platform, ...] = PlatformNames().convert(value, param, ctx)
        if len(platforms) != 1:
            self.fail("this command takes one platform", param, ctx)
        return platforms[0]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from rtbuild.platform import PLATFORMS

        return [CompletionItem(name) for name in PLATFORMS if name.startswith(incomplete)]


class PlatformNames(PlatformName):
    """A list of platforms, separated by commas."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from rtbuild.errors import UsageError
        from rtbuild.platform import parse_platforms

        if not isinstance(value, str):
            return value
        try:
            return parse_platforms(value)
        except UsageError as error:
            self.fail(error.brief + (f" ({error.hint})" if error.hint else ""), param, ctx)


class PackageUpgrade(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """`NAME` or `NAME==VERSION`, as a pair."""

    name = "upgrade"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str | None]:
        name, separator, version = (part.strip() for part in str(value).partition("=="))
        if not name or (separator and not version) or any(sign in value for sign in "<>~!,[; "):
            self.fail(f"{value!r} is neither NAME nor NAME==VERSION", param, ctx)
        return name, version or None


def _join(context: click.Context, parameter: click.Parameter, value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The platforms of every `--platform`, each once."""
    return tuple(dict.fromkeys(platform for platforms in value for platform in platforms))


def _invocation(context: click.Context) -> Invocation:
    from rtbuild.cli.invocation import Invocation

    return context.ensure_object(Invocation)


release_argument = click.argument("release", type=ReleaseName())

platform_option = click.option(
    "--platform",
    type=PlatformName(),
    metavar="PLATFORM",
    help="linux/amd64 or linux/arm64  [default: this machine's]",
)


def platforms_option(default: str = "this machine's") -> Callable[[F], F]:
    """The option `--platform` of commands that take several; `default` is for the help."""
    return click.option(
        "--platform",
        "platforms",
        type=PlatformNames(),
        multiple=True,
        callback=_join,
        metavar="PLATFORM[,...]",
        help=f"linux/amd64, linux/arm64 or both; repeatable  [default: {default}]",
    )


jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="CPU-bound tasks to run at once  [default: one per core]",
)

builder_option = click.option(
    "--builder",
    metavar="NAME",
    help="The buildx builder to use  [default: the machine's Docker, else a private engine]",
)

DEFAULT_ENGINE = "default"

engine_name_option = click.option(
    "--name", default=DEFAULT_ENGINE, show_default=True, metavar="NAME", help="Which recipe of recipes/engines/."
)
