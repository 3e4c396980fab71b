"""Containers that start while somebody swaps directories for symlinks in a volume they share."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .canaries import attempt, watched
from .conftest import Engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TURNS = 200
RENAME_EXCHANGE = 2
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names as fast as the kernel can, as another container that shares the volume would."""
    stop = threading.Event()

    def run() -> None:
        names = [os.fsencode(one), os.fsencode(other)]
        while not stop.is_set():
            for _ in range(200):
                libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def outside(tmp_path: Path, engine: Engine) -> Iterator[Path]:
    """A tree of the host's, which stays as it is, as does the engine's mount table."""
    with watched(engine, tmp_path / "outside") as root:
        yield root


def volume(engine: Engine, name: str) -> Path:
    return Path(engine.ok("POST", "/volumes/create", {"Name": name})["Mountpoint"])


def turns(engine: Engine, script: str, host: dict[str, Any]) -> list[tuple[int, str]]:
    return [attempt(engine, "sh", "-c", script, host=host) for _ in range(TURNS)]


@pytest.mark.parametrize("target", ["/a/x", "/a/x/new/deep"])
def test_a_mount_point_that_is_swapped(engine: Engine, outside: Path, target: str) -> None:
    """CVE-2021-30465, CVE-2024-45310: the place is resolved once, in the container's root, and made there."""
    shared = volume(engine, "race-a")
    inner = volume(engine, "race-b")
    (shared / "x").mkdir()
    (inner / "mark").touch()
    (shared / "link").symlink_to("../" * 20 + str(outside).lstrip("/"))
    with swapping(shared / "x", shared / "link"):
        found = turns(engine, "cat /proc/self/mountinfo", {"Binds": ["race-a:/a", f"race-b:{target}"]})
    assert any(code == 0 for code, _ in found)
    for name in ("race-a", "race-b"):
        engine.ok("DELETE", f"/volumes/{name}")


def test_a_part_of_a_volume_that_is_swapped(engine: Engine, outside: Path) -> None:
    """CVE-2024-23651: what is mounted is a part of the volume, or nothing."""
    shared = volume(engine, "race-part")
    (shared / "x").mkdir()
    (shared / "x/inside").touch()
    (shared / "link").symlink_to("../" * 20 + str(outside).lstrip("/"))
    mount = {"Type": "volume", "Source": "race-part", "Target": "/p", "VolumeOptions": {"Subpath": "x"}}
    with swapping(shared / "x", shared / "link"):
        found = turns(engine, "ls /p; touch /p/written", {"Mounts": [mount]})
    assert {out for code, out in found if code == 0} <= {"inside\n", "inside\nwritten\n"}
    engine.ok("DELETE", "/volumes/race-part")


@pytest.mark.parametrize("name", ["null", "pts", "shm", "mqueue"])
def test_a_dev_that_is_swapped(engine: Engine, outside: Path, name: str) -> None:
    """CVE-2025-31133, CVE-2025-52565: nothing is mounted from what the container has in its /dev."""
    shared = volume(engine, "race-dev")
    if name == "null":
        os.mknod(shared / name, 0o20666, os.makedev(1, 3))
    else:
        (shared / name).mkdir()
    (shared / "link").symlink_to("/proc/sys/kernel/core_pattern" if name == "null" else str(outside))
    script = (
        "echo '|/x' > /proc/sys/kernel/core_pattern; cat /proc/interrupts /proc/timer_list 2>/dev/null | head -c 99"
    )
    host = {"Binds": ["race-dev:/dev"], "Tmpfs": {f"/dev/{name}": ""} if name != "null" else {}}
    with swapping(shared / name, shared / "link"):
        found = turns(engine, script, host)
    assert not [out for code, out in found if code >= 0 and "CPU0" in out]
    engine.ok("DELETE", "/volumes/race-dev")


def test_a_volume_that_is_filled_while_it_changes(engine: Engine, outside: Path) -> None:
    """What is copied into a volume follows no symlink that another container puts there meanwhile."""
    shared = volume(engine, "race-fill")
    stop = threading.Event()

    def plant() -> None:
        while not stop.is_set():
            for name in ("passwd", "group", "nsswitch.conf"):
                try:
                    os.symlink(outside / "passwd", shared / name)
                except FileExistsError:
                    (shared / name).unlink(missing_ok=True)

    thread = threading.Thread(target=plant)
    thread.start()
    try:
        for _ in range(TURNS):
            body = {"Image": "atoll/base", "Cmd": ["true"], "HostConfig": {"Binds": ["race-fill:/etc"]}}
            status, answer = engine.call("POST", "/containers/create", body)
            if status == 201:
                engine.ok("DELETE", f"/containers/{answer['Id']}")
    finally:
        stop.set()
        thread.join()
    engine.ok("DELETE", "/volumes/race-fill")
