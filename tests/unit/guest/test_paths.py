"""Paths inside a root that somebody else controls."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("openat2 is Linux's", allow_module_level=True)

from atoll_agent.linux.paths import filesystem_type, make_directories, make_mount_point, open_in_root, read_in_root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A root beside a secret, with links that lead towards it."""
    (tmp_path / "secret").write_text("outside")
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc/passwd").write_text("inside")
    for name, target in {
        "up": "../..", "absolute": str(tmp_path), "slash": "/", "loop": "loop", "passwd": "/etc/passwd",
        "out": "../secret", "fd": "/proc/self/fd", "dangling": "/nowhere/at/all",
    }.items():  # fmt: skip
        (inside / name).symlink_to(target)
    before = len(list(Path("/proc/self/fd").iterdir()))
    descriptor = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "a descriptor was left open"
    assert (tmp_path / "secret").read_text() == "outside"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "secret"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("etc/passwd", b"inside"),
        ("/etc/passwd", b"inside"),
        ("passwd", b"inside"),
        ("up/etc/passwd", b"inside"),
        ("../../../etc/passwd", b"inside"),
        ("slash/etc/../etc/passwd", b"inside"),
        ("../secret", b""),
        ("out", b""),
        ("absolute/secret", b""),
        ("up/secret", b""),
        ("loop", b""),
        ("dangling", b""),
        ("etc", b""),
        ("etc/passwd/x", b""),
        ("missing", b""),
    ],
)
def test_reading(root: int, path: str, content: bytes) -> None:
    assert read_in_root(root, path) == content


def test_reading_stops_at_its_limit(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/large").write_bytes(b"x" * 200_000)
    assert len(read_in_root(root, "large", 100_000)) == 100_000


def test_a_pipe_is_not_waited_for(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root/pipe")
    assert read_in_root(root, "pipe") == b""


def test_links_of_proc_are_refused() -> None:
    slash = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError):
            open_in_root(slash, f"proc/self/fd/{slash}/etc")
    finally:
        os.close(slash)


@pytest.mark.parametrize(
    ("path", "made"),
    [("a/b/c", "a/b/c"), ("/a//b/./", "a/b"), ("slash/x", "x"), ("up/x/y", "x/y"), ("", ""), ("etc/../z", "z")],
)
def test_making_directories(root: int, tmp_path: Path, path: str, made: str) -> None:
    descriptor = make_directories(root, path)
    try:
        assert os.path.samestat(os.fstat(descriptor), (tmp_path / "root" / made).stat())
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("path", ["etc/passwd/x", "loop/x", "dangling/x", "out/x"])
def test_directories_that_cannot_be_made(root: int, path: str) -> None:
    with pytest.raises(OSError):
        make_directories(root, path)


@pytest.mark.parametrize(
    ("path", "directory", "place"),
    [
        ("/new/file", False, "new/file"),
        ("/new/directory", True, "new/directory"),
        ("/etc/passwd", False, "etc/passwd"),
        ("/passwd", False, "etc/passwd"),
        ("/etc", True, "etc"),
        ("/up/etc", True, "etc"),
    ],
)
def test_mount_points(root: int, tmp_path: Path, path: str, directory: bool, place: str) -> None:
    descriptor = make_mount_point(root, path, directory=directory)
    try:
        assert os.path.samestat(os.fstat(descriptor), (tmp_path / "root" / place).stat())
    finally:
        os.close(descriptor)
    assert (tmp_path / "root" / place).is_dir() is directory
    assert (tmp_path / "root/etc/passwd").read_text() == "inside"


@pytest.mark.parametrize(("path", "directory"), [("/etc", False), ("/etc/passwd", True), ("/dangling", False)])
def test_mount_points_of_another_kind(root: int, path: str, directory: bool) -> None:
    with pytest.raises(OSError):
        make_mount_point(root, path, directory=directory)


PARTS = st.sampled_from(["up", "slash", "absolute", "out", "loop", "dangling", "etc", "passwd", "..", ".", "", "new"])


@given(st.lists(PARTS, max_size=6).map("/".join), st.booleans())
def test_nothing_outside_is_reached(tmp_path_factory: pytest.TempPathFactory, path: str, directory: bool) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "root/etc").mkdir(parents=True)
    (home / "secret").write_text("outside")
    for name, target in (("up", "../.."), ("slash", "/"), ("absolute", str(home)), ("out", "../secret")):
        (home / "root" / name).symlink_to(target)
    root = os.open(home / "root", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert b"outside" not in read_in_root(root, path)
        with contextlib.suppress(OSError):
            os.close(make_mount_point(root, path, directory=directory))
    finally:
        os.close(root)
    assert sorted(p.name for p in home.iterdir()) == ["root", "secret"]


def test_the_type_of_a_file_system() -> None:
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert filesystem_type(proc) == 0x9FA0
    finally:
        os.close(proc)
