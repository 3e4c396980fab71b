"""Modes as Go has them, settings of a commit, differences of layers."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the guest runs on Linux", allow_module_level=True)

from atoll_agent.engine.archives import go_mode
from atoll_agent.engine.changes import ADDED, DELETED, MODIFIED, Change, find_changes
from atoll_agent.engine.commit import CommitRequest, merge_settings, plan_settings

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize(
    ("mode", "go"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
        (stat.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (stat.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o600, 1 << 24 | 0o600),
    ],
)
def test_modes(mode: int, go: int) -> None:
    assert go_mode(mode) == go


CONTAINER: dict[str, Any] = {
    "User": "u", "Env": ["A=1", "B=1"], "Cmd": ["c"], "Entrypoint": ["e"], "Labels": {"a": "1"}, "WorkingDir": "/w",
    "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "StopSignal": "SIGINT",
    "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5},
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"Env": ["B=2"]}, {"Env": ["B=2", "A=1"]}),
        ({"Cmd": ["x"]}, {"Cmd": ["x"]}),
        ({"Entrypoint": ["x"]}, {"Entrypoint": ["x"], "Cmd": None}),
        ({"Entrypoint": []}, {"Entrypoint": []}),
        ({"Labels": {"b": "2"}, "User": "r"}, {"Labels": {"a": "1", "b": "2"}, "User": "r"}),
        ({"ExposedPorts": {"1/tcp": {}}}, {"ExposedPorts": {"80/tcp": {}, "1/tcp": {}}}),
        ({"Healthcheck": {"Test": ["CMD", "y"]}}, {"Healthcheck": {"Test": ["CMD", "y"], "Interval": 5}}),
    ],
)
def test_settings_of_a_commit(given: dict[str, Any], expected: dict[str, Any]) -> None:
    merged = merge_settings(given, CONTAINER)
    assert {key: merged.get(key) for key in CONTAINER} == {**CONTAINER, **expected}


def test_changes_come_before_the_containers_own() -> None:
    request = CommitRequest("", "", "", "", True, ['ENTRYPOINT ["z"]', "ENV A=3"], None)
    settings = plan_settings(CONTAINER, request)
    assert (settings["Entrypoint"], settings["Cmd"], settings["Env"]) == (["z"], None, ["A=3", "B=1"])


# -- differences -----------------------------------------------------------------------------


def change(path: str, kind: int) -> Change:
    return Change(path, kind)


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    """The container's directory, and its image's."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for place in (upper, lower):
        (place / "d/e").mkdir(parents=True)
        (place / "d/e/file").write_text("same")
        os.utime(place / "d/e/file", (5, 5))
    (lower / "d/gone").write_text("1")
    return upper, lower


def test_what_was_only_touched_is_no_change(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    assert find_changes(upper, [str(lower)]) == []
    (upper / "etc").mkdir()
    (upper / "etc/hosts").touch()
    (upper / "proc").mkdir()
    assert find_changes(upper, [str(lower)]) == []


def test_a_deep_change_lists_its_parents(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (upper / "d/e/file").write_text("other")
    (upper / "etc").mkdir()
    (upper / "etc/own").touch()
    assert find_changes(upper, [str(lower)]) == [
        change("/d", MODIFIED), change("/d/e", MODIFIED), change("/d/e/file", MODIFIED), change("/etc", MODIFIED),
        change("/etc/own", ADDED),
    ]  # fmt: skip


def test_kinds_that_changed(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (upper / "d/e/file").unlink()
    (upper / "d/e/file").mkdir()
    (upper / "d/e/file/new").touch()
    (upper / "d/e").chmod(0o700)
    (upper / "d/link").symlink_to("e")
    assert find_changes(upper, [str(lower)]) == [
        change("/d", MODIFIED), change("/d/e", MODIFIED), change("/d/e/file", MODIFIED), change("/d/e/file/new", ADDED),
        change("/d/link", ADDED),
    ]  # fmt: skip


@needs_root
def test_what_was_removed(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    os.mknod(upper / "d/gone", stat.S_IFCHR, 0)
    os.mknod(upper / "d/never-was", stat.S_IFCHR, 0)
    (lower / "d/e/hidden").touch()
    os.setxattr(upper / "d/e", "trusted.overlay.opaque", b"y")
    assert find_changes(upper, [str(lower)]) == [
        change("/d", MODIFIED), change("/d/e", MODIFIED), change("/d/e/hidden", DELETED), change("/d/gone", DELETED),
    ]  # fmt: skip
