"""Files are there whole or not at all, whatever fails on the way."""

from __future__ import annotations

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atoll.system import files
from atoll.system.files import write_whole

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for data in (b"a long first content", b"short", b""):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_goes_on_after_a_short_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_whole(tmp_path / "f", b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes; the user's profile is private there")
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"open to all")
    path.chmod(0o666)
    write_whole(path, b"x", mode=mode)
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("function", ["open", "write", "fsync", "close"])
def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    real = getattr(os, function)

    def full(*arguments: Any) -> None:
        if function == "close":
            real(*arguments)
        raise FULL

    monkeypatch.setattr(files.os, function, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_taken_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "f" / "full").mkdir(parents=True)
    with pytest.raises(OSError):
        write_whole(tmp_path / "f", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "f", b"new")


def test_threads_do_not_tear_each_others_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    contents = [bytes([number]) * 20_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda data: write_whole(path, data), contents))
            assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Windows, where renaming over a file fails as long as there are readers; each attempt sees one of them off."""
    waiting: list[str] = []
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if waiting:
            waiting.pop()
            raise PermissionError(errno.EACCES, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    return waiting


def test_a_reader_on_windows_is_waited_for(tmp_path: Path, readers: list[str]) -> None:
    readers += ["one", "another"]
    write_whole(tmp_path / "f", b"new")
    assert readers == []
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_reader_on_windows_who_never_ends(
    tmp_path: Path, readers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readers += ["for ever"] * 2
    monkeypatch.setattr(files, "REPLACE_S", 0)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "f", b"new")
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_a_refusal_is_one(tmp_path: Path, readers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    readers += ["none, really"]
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="linux"))
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "f", b"new")
