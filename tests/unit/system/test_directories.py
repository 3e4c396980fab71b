"""Where files belong on each system, whatever the one is on which this runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll.system.directories import cache_directory, state_directory

VARIABLES = ("LOCALAPPDATA", "XDG_DATA_HOME", "XDG_CACHE_HOME")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with none of the variables set."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "state", "cache"),
    [
        ("linux", (".local", "share", "atoll"), (".cache", "atoll")),
        ("freebsd14", (".local", "share", "atoll"), (".cache", "atoll")),
        ("darwin", ("Library", "Application Support", "atoll"), ("Library", "Caches", "atoll")),
        ("win32", ("AppData", "Local", "atoll"), ("AppData", "Local", "atoll", "cache")),
    ],
)
def test_without_settings(user: Path, platform: str, state: tuple[str, ...], cache: tuple[str, ...]) -> None:
    assert state_directory(platform) == user.joinpath(*state)
    assert cache_directory(platform) == user.joinpath(*cache)


@pytest.mark.parametrize(
    ("platform", "variable", "is_cache"),
    [("linux", "XDG_DATA_HOME", False), ("linux", "XDG_CACHE_HOME", True), ("win32", "LOCALAPPDATA", False)],
)
def test_the_systems_own_variable_is_heeded_and_an_empty_one_is_not(
    user: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, is_cache: bool
) -> None:
    ask = cache_directory if is_cache else state_directory
    usual = ask(platform)
    monkeypatch.setenv(variable, "")
    assert ask(platform) == usual
    monkeypatch.setenv(variable, str(user / "elsewhere"))
    assert ask(platform) == user / "elsewhere" / "atoll"


def test_another_systems_variable_is_not_heeded(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, str(user / "elsewhere"))
    assert state_directory("darwin") == user / "Library" / "Application Support" / "atoll"
    assert cache_directory("win32") == user / "elsewhere" / "atoll" / "cache"
