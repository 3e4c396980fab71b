"""A mirror that has moved on must not break anybody's build."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atoll_images import packages as module
from atoll_images.errors import ImageError
from atoll_images.lock import Lock
from atoll_images.packages import fetch_packages

OLD = {"a": b"old a", "b": b"only b"}
NEW = {"a": b"new a", "b": b"only b"}


@pytest.fixture
def resolved(make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> list[Lock]:
    """What resolving anew would give; empty the list to make it fail."""
    locks = [make.lock(NEW, version="2", date="2026-02-02T00:00:00+00:00")]

    def resolve(*arguments: Any) -> Lock:
        if not locks:
            raise ImageError("InRelease of trixie: bad signature")
        return locks[0]

    monkeypatch.setattr(module, "resolve_lock", resolve)
    return locks


def test_all_there(server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any) -> None:
    lock = make.lock(OLD)
    server.put_packages(lock, OLD)
    assert fetch_packages(lock, "amd64", tmp_path, server.mirrors(), recorder) == (lock, OLD)
    assert recorder.notes == []


def test_snapshot_archive_has_it(server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any) -> None:
    lock = make.lock(OLD)
    server.put_packages(lock, OLD, "/snapshot/debian/20260102T030405Z")
    mirrors = server.mirrors(f"{server.base}/snapshot")
    assert fetch_packages(lock, "amd64", tmp_path, mirrors, recorder) == (lock, OLD)
    assert "snapshot archive" in recorder.notes[0]


@pytest.mark.parametrize("snapshot", ["", "/snapshot", "unreachable"])
def test_resolves_anew_and_says_so(
    server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any, resolved: list[Lock], snapshot: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("atoll_images.fetch._ATTEMPTS", 1)
    server.put_packages(resolved[0], NEW)
    base = "http://127.0.0.1:9" if snapshot == "unreachable" else snapshot and server.base + snapshot
    lock, found = fetch_packages(make.lock(OLD), "amd64", tmp_path, server.mirrors(base), recorder)
    assert (lock, found) == (resolved[0], NEW)
    assert "mirror has moved: a 1 → 2" in recorder.notes


def test_resolving_fails_too(
    server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any, resolved: list[Lock]
) -> None:
    resolved.clear()
    with pytest.raises(ImageError, match=r"no mirror has a_1\.deb, b_1\.deb.*bad signature"):
        fetch_packages(make.lock(OLD), "amd64", tmp_path, server.mirrors(), recorder)


def test_an_older_index_is_refused(
    server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any, resolved: list[Lock]
) -> None:
    resolved[0] = make.lock(NEW, date="2025-01-01T00:00:00+00:00")
    with pytest.raises(ImageError, match="older than the lock's"):
        fetch_packages(make.lock(OLD), "amd64", tmp_path, server.mirrors(), recorder)


def test_lock_mismatch(
    server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror has a file of the right name and size, and other content."""
    monkeypatch.setattr("atoll_images.fetch._ATTEMPTS", 1)
    lock = make.lock(OLD)
    server.put_packages(lock, {"a": b"evil!", "b": b"only b"})
    with pytest.raises(ImageError, match="its hash is not the one expected"):
        fetch_packages(lock, "amd64", tmp_path, server.mirrors(), recorder)
    assert not (tmp_path / "a_1.deb").exists()


@pytest.mark.parametrize("damage", [b"old", b"", b"evil!", None])
def test_a_package_that_changes_after_it_was_checked_is_not_unpacked(
    server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch,
    damage: bytes | None,
) -> None:  # fmt: skip
    lock = make.lock(OLD)
    server.put_packages(lock, OLD)
    fetch = module.Fetcher.fetch_all

    def fetch_and_spoil(self: Any, files: Any) -> Any:
        gone = fetch(self, files)
        if damage is None:
            (tmp_path / "a_1.deb").unlink()
        else:
            (tmp_path / "a_1.deb").write_bytes(damage)
        return gone

    monkeypatch.setattr(module.Fetcher, "fetch_all", fetch_and_spoil)
    with pytest.raises(ImageError, match=r"a_1\.deb"):
        fetch_packages(lock, "amd64", tmp_path, server.mirrors(), recorder)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch_packages(lock, "amd64", tmp_path, server.mirrors(), recorder) == (lock, OLD)
