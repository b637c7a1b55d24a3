"""Names of platforms: exact ones in files, everything that people type on the command line."""

from __future__ import annotations

import platform as host

import pytest

from rtbuild.errors import UsageError
from rtbuild.platform import PLATFORMS, host_platform, parse_platform, parse_platforms, platform_named

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]


@pytest.mark.parametrize(
    "text", ["linux/amd64", "amd64", "x86_64", "x86-64", "linux/x86_64", "linux/amd64/v1", "AMD64", " Linux/AMD64 "]
)
def test_names_that_people_type_for_amd64(text: str) -> None:
    assert parse_platform(text) is AMD64


@pytest.mark.parametrize(
    "text",
    ["linux/arm64", "arm64", "aarch64", "linux/aarch64", "linux/arm64/v8", "arm64/v8", "ARM64", "Linux/Arm64/V8"],
)
def test_names_that_people_type_for_arm64(text: str) -> None:
    assert parse_platform(text) is ARM64


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "linux/arm", "linux/arm/v7", "windows/amd64", "linux/arm64/v9", "linux/linux/amd64"]
)
def test_unknown_platforms_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_platform(text)
    assert caught.value.brief == f"unknown platform {text!r}"
    assert caught.value.hint == "known platforms: linux/amd64, linux/arm64"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", (AMD64,)),
        ("linux/amd64,linux/arm64", (AMD64, ARM64)),
        ("arm64, amd64", (ARM64, AMD64)),
        ("amd64,arm64,x86_64", (AMD64, ARM64)),
    ],
)
def test_lists_keep_their_order_and_drop_duplicates(text: str, expected: tuple[object, ...]) -> None:
    assert parse_platforms(text) == expected


@pytest.mark.parametrize("text", ["", "linux/amd64,", ",", "linux/amd64;linux/arm64"])
def test_lists_with_a_wrong_item_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="unknown platform"):
        parse_platforms(text)


@pytest.mark.parametrize("name", ["amd64", "x86_64", "linux/arm64/v8", "Linux/AMD64"])
def test_files_must_spell_the_exact_name(name: str) -> None:
    with pytest.raises(UsageError, match="unknown platform"):
        platform_named(name)
    assert platform_named("linux/arm64") is ARM64


@pytest.mark.parametrize("machine", ["x86_64", "AMD64"])
def test_the_host_platform(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr(host, "machine", lambda: machine)
    assert host_platform() is AMD64


def test_an_unsupported_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "machine", lambda: "riscv64")
    with pytest.raises(UsageError, match="unsupported architecture 'riscv64'") as caught:
        host_platform()
    assert caught.value.hint == "name a platform to build for with --platform"


def test_other_spellings_of_a_platform() -> None:
    assert (ARM64.architecture, ARM64.slug, str(ARM64)) == ("arm64", "linux-arm64", "linux/arm64")
