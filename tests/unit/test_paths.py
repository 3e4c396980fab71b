"""`ATOLL_HOME` moves everything; without it each system's own places are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll import paths
from atoll.system.directories import cache_directory, state_directory

PLACES = (paths.home, paths.machines_directory, paths.images_directory, paths.cache_directory)


def test_atoll_home_moves_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    assert [place() for place in PLACES] == [
        tmp_path, tmp_path / "machines", tmp_path / "images", tmp_path / "cache",
    ]  # fmt: skip


def test_a_relative_home_is_of_the_directory_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's keeper and the next command may be in another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATOLL_HOME", "lab")
    assert [place().is_absolute() for place in PLACES] == [True] * 4
    assert paths.home() == Path.cwd() / "lab"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("ATOLL_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("ATOLL_HOME", value)
    assert paths.home() == state_directory()
    assert paths.cache_directory() == cache_directory()
    assert paths.machines_directory().parent == paths.images_directory().parent == state_directory()


def test_asking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path / "new"))
    for place in PLACES:
        place()
    assert list(tmp_path.iterdir()) == []
