"""`docker cp` while the container swaps what it names (CVE-2018-15664, CVE-2026-41568, CVE-2026-42306)."""

from __future__ import annotations

import http.client
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Engine

TURNS = 300
SWAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
place = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
print("ready", flush=True)
while True:
    if libc.renameat2(place, b"x", place, b"y", 2):
        raise OSError(ctypes.get_errno(), "renameat2")
"""


@contextmanager
def swapping(place: Path) -> Iterator[None]:
    """Exchange x and y in a directory, as fast as can be."""
    with subprocess.Popen([sys.executable, "-c", SWAPPER, str(place)], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        try:
            yield
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)


def pack(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def contents(data: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [archive.extractfile(entry) for entry in archive if entry.isreg()]
        return [file.read() for file in files if file]


def get(engine: Engine, container: str, path: str) -> list[bytes]:
    """The contents of what is there; nothing where it is not, or where it changed under our eyes."""
    try:
        status, data = engine.call("GET", f"/containers/{container}/archive", path=path)
    except http.client.IncompleteRead:
        return []
    assert status in (200, 400, 404, 500), data
    return contents(data) if status == 200 else []


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that looks like the one that is copied, with other content."""
    root = tmp_path / "canary"
    (root / "deep").mkdir(parents=True)
    (root / "deep/secret").write_text("outside")
    (root / "secret").write_text("outside")
    before = sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_mode) for p in [root, *root.rglob("*")])
    yield root
    assert sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_mode) for p in [root, *root.rglob("*")]) == before


@pytest.mark.slow
@pytest.mark.parametrize("where", ["bind", "root"])
@pytest.mark.parametrize("target", ["absolute", "up", "magic"])
def test_nothing_of_the_host_is_read_or_written(
    engine: Engine, canary: Path, tmp_path: Path, where: str, target: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    container = engine.running("sleep", "1000", host={"Binds": [f"{shared}:/shared"]})
    pid = engine.ok("GET", f"/containers/{container}/json")["State"]["Pid"]
    place = shared if where == "bind" else Path(f"/proc/{pid}/root/swapped")
    if where == "root":
        place.mkdir()
    (place / "x/deep").mkdir(parents=True)
    for path in ("x/secret", "x/deep/secret"):
        (place / path).write_text("inside")
    link = {"absolute": str(canary), "up": "../" * 20 + str(canary)[1:], "magic": f"/proc/self/root{canary}"}[target]
    (place / "y").symlink_to(link)
    path = "/shared" if where == "bind" else "/swapped"
    seen: set[bytes] = set()
    with swapping(place):
        for turn in range(TURNS):
            for name in (f"{path}/x", f"{path}/x/deep", f"{path}/x/secret", f"{path}/x/."):
                seen |= set(get(engine, container, name))
            status, answer = engine.call(
                "PUT", f"/containers/{container}/archive", pack(f"deep/planted-{turn}", b"1"), path=f"{path}/x"
            )
            assert status in (200, 400, 404, 500), answer
    engine.ok("DELETE", f"/containers/{container}", force=1)
    assert seen == {b"inside"} | (seen & {b"1"})


@pytest.mark.slow
def test_a_volume_is_never_mounted_elsewhere(engine: Engine, canary: Path, tmp_path: Path) -> None:
    """The mount point of a volume is swapped for a link that leads outside, while copies mount it in their own view."""
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    (outer / "x").mkdir(parents=True)
    inner.mkdir()
    (inner / "secret").write_text("inside")
    (outer / "y").symlink_to("/" + "../" * 20 + str(canary)[1:])
    container = engine.create("sleep", "1000", host={"Binds": [f"{outer}:/a", f"{inner}:/a/x"]})

    def mounts() -> list[str]:
        lines = Path(f"/proc/{engine.agent_pid}/mountinfo").read_text().splitlines()
        return [line for line in lines if str(engine.directory) in line or str(tmp_path) in line]

    before = mounts()
    with swapping(outer):
        for _ in range(TURNS):
            assert set(get(engine, container, "/a/x/secret")) <= {b"inside"}
            engine.call("PUT", f"/containers/{container}/archive", pack("planted", b"1"), path="/a/x")
            engine.call("PUT", f"/containers/{container}/archive", pack("x/planted", b"1"), path="/a")
    assert mounts() == before
    engine.ok("DELETE", f"/containers/{container}")
    assert sorted(os.listdir(canary)) == ["deep", "secret"]
