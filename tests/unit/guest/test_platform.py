"""Platforms, and how a commit merges settings."""

from __future__ import annotations

import pytest

from atoll_agent.api.errors import AgentError
from atoll_agent.images.platform import NATIVE_ARCHITECTURE, Platform, matches_platform, parse_platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("", None),
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm64/v8", Platform("linux", "arm64", "v8")),
        ("aarch64", Platform("linux", "arm64")),
        ("linux", Platform("linux", NATIVE_ARCHITECTURE)),
        ('{"os": "linux", "architecture": "arm", "variant": "v7"}', Platform("linux", "arm", "v7")),
    ],
)
def test_platforms(text: str, platform: Platform | None) -> None:
    assert parse_platform(text) == platform


@pytest.mark.parametrize("text", ["a/b/c/d", "linux/a b", "{", "[1]", "{1}", "linux/../x"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(AgentError):
        parse_platform(text)


@pytest.mark.parametrize(
    ("wanted", "found", "matches"),
    [
        ("linux/amd64", {"os": "linux", "architecture": "amd64"}, True),
        ("linux/amd64", {"os": "linux", "architecture": "arm64"}, False),
        ("linux/arm64", {"os": "linux", "architecture": "arm64", "variant": "v8"}, True),
        ("linux/arm64/v8", {"architecture": "arm64"}, True),
        ("linux/arm/v6", {"os": "linux", "architecture": "arm", "variant": "v7"}, False),
        ("linux/amd64", {}, True),
        ("windows/amd64", {"os": "linux", "architecture": "amd64"}, False),
    ],
)
def test_matching(wanted: str, found: dict[str, str], matches: bool) -> None:
    platform = parse_platform(wanted)
    assert platform and matches_platform(platform, found) is matches
