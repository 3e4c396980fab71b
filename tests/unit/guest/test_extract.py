"""Unpacking layers made by strangers: whatever a tar says, nothing outside the directory changes."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("layers are unpacked on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.images.extract import extract_layer
from atoll_agent.linux.trees import remove_path, remove_tree

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and trusted attributes need root")


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The layer's directory, with a secret beside it that must stay as it is."""
    (tmp_path / "secret").write_text("untouched")
    (tmp_path / "layer").mkdir()
    yield tmp_path / "layer"
    assert (tmp_path / "secret").read_text() == "untouched"
    assert names(tmp_path) == ["layer", "secret"]


def extract(place: Path, data: bytes, **more: Any) -> int:
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    before = names(Path("/proc/self/fd"))
    try:
        return extract_layer(io.BytesIO(data), root, **more)
    finally:
        assert names(Path("/proc/self/fd")) == before, "a descriptor was left open"
        os.close(root)


def refused(place: Path, data: bytes) -> str:
    with pytest.raises(AgentError) as caught:
        extract(place, data)
    assert caught.value.status == 400
    return caught.value.message


def test_files_directories_and_links(make: SimpleNamespace, place: Path) -> None:
    size = extract(
        place,
        make.pack(
            make.directory("./", mode=0o711),
            make.directory("d/", mode=0o750, mtime=1000),
            make.member("d/file", b"content", mode=0o4755, mtime=1234.5),
            make.symlink("d/soft", "/etc/passwd"),
            make.link("hard", "d/file"),
            make.link("d/hard-soft", "d/soft"),
            make.member("no/parents/file", b"123"),
        ),
    )
    assert size == 10
    assert stat.S_IMODE(place.stat().st_mode) == 0o711
    assert (stat.S_IMODE((place / "d").stat().st_mode), (place / "d").stat().st_mtime) == (0o750, 1000)
    file = (place / "d/file").stat()
    assert (stat.S_IMODE(file.st_mode), file.st_mtime_ns) == (0o4755, 1_234_500_000_000)
    assert (place / "hard").stat().st_ino == file.st_ino
    assert (place / "d/soft").readlink() == (place / "d/hard-soft").readlink() == Path("/etc/passwd")
    assert (place / "no/parents/file").read_bytes() == b"123"


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_of_any_length_and_bytes(make: SimpleNamespace, place: Path, format: int) -> None:
    deep = "/".join(["x" * 100] * 8)
    odd = os.fsdecode(b"\xff\xfe new\nline")
    members = [make.member(deep, b"1"), make.member(odd, b"2"), make.symlink("long", "y" * 3000)]
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format, errors="surrogateescape") as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    extract(place, data.getvalue())
    assert (place / deep).read_bytes() == b"1"
    assert (place / odd).read_bytes() == b"2"
    assert (place / "long").readlink() == Path("y" * 3000)


def test_a_later_entry_replaces_an_earlier_one(make: SimpleNamespace, place: Path) -> None:
    extract(
        place,
        make.pack(
            make.member("was-file", b"1"),
            make.directory("was-directory"),
            make.member("was-directory/inside", b"1"),
            make.symlink("was-link", "../secret"),
            make.directory("stays"),
            make.member("stays/inside", b"1"),
            make.directory("was-file"),
            make.member("was-directory", b"2"),
            make.member("was-link", b"3"),
            make.directory("stays", mode=0o700),
            make.member("was-file/below", b"4"),
        ),
    )
    assert (place / "was-directory").read_bytes() == b"2"
    assert not (place / "was-link").is_symlink()
    assert (place / "was-link").read_bytes() == b"3"
    assert (place / "was-file/below").read_bytes() == b"4"
    assert (place / "stays/inside").exists()


def test_sparse_files(make: SimpleNamespace, place: Path) -> None:
    """An old GNU sparse header, built by hand: 8 bytes at offset 8192 of a file of 16384."""
    entry, _ = make.member("sparse", b"")
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"%011o\0" % 8
    header[386:410] = b"%011o\0%011o\0" % (8192, 8)
    header[483:495] = b"%011o\0" % 16384
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert extract(place, bytes(header) + b"deadbeef".ljust(512, b"\0") + bytes(1024)) == 16384
    assert (place / "sparse").read_bytes() == bytes(8192) + b"deadbeef" + bytes(16384 - 8200)


# -- attempts to get out ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "..", "/../secret", "a/.."])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_names_that_lead_outside_are_refused(make: SimpleNamespace, place: Path, name: str, kind: bytes) -> None:
    data = make.pack(make.member(name, kind=kind, target="x"))
    assert "leads outside" in refused(place, data)


def test_an_absolute_name_is_one_below_the_layer(make: SimpleNamespace, place: Path) -> None:
    extract(place, make.pack(make.member("//etc//./shadow", b"1")))
    assert (place / "etc/shadow").read_bytes() == b"1"


@pytest.mark.parametrize("target", ["..", "../", "/..", "../../..", "x/../.."])
def test_a_symlink_does_not_lead_outside(make: SimpleNamespace, place: Path, target: str) -> None:
    members = [make.directory("x"), make.symlink("out", target), make.member("out/secret", b"taken")]
    extract(place, make.pack(*members))
    assert (place / "secret").read_bytes() == b"taken"


def test_an_absolute_symlink_is_followed_inside(make: SimpleNamespace, place: Path) -> None:
    outside = str(place.parent)
    members = [make.directory(outside), make.symlink("out", outside), make.member("out/secret", b"taken")]
    extract(place, make.pack(*members))
    assert (Path(f"{place}{outside}") / "secret").read_bytes() == b"taken"


@pytest.mark.parametrize("target", ["../secret", "/../secret", "a/../../secret"])
def test_a_hard_link_does_not_lead_outside(make: SimpleNamespace, place: Path, target: str) -> None:
    assert "leads outside" in refused(place, make.pack(make.link("mine", target), make.member("mine", b"taken")))


@pytest.mark.parametrize(
    ("target", "words"),
    [("secret", "not in it"), ("missing/x", "not in it"), ("", "nothing"), ("./", "nothing"), ("mine", "not in it"),
     ("d", "not in it"), ("file/x", "not in it")],
)  # fmt: skip
def test_hard_links_to_what_is_no_file_of_the_layer(
    make: SimpleNamespace, place: Path, target: str, words: str
) -> None:
    members = [make.directory("d"), make.member("file"), make.link("mine", target)]
    assert words in refused(place, make.pack(*members))


def test_a_hard_link_through_a_symlink_stays_inside(make: SimpleNamespace, place: Path) -> None:
    members = [make.symlink("up", ".."), make.member("secret", b"inside"), make.link("mine", "up/secret")]
    extract(place, make.pack(*members))
    assert (place / "mine").read_bytes() == b"inside"


def test_a_file_is_not_written_through_a_link_of_its_name(make: SimpleNamespace, place: Path) -> None:
    members = [make.symlink("x", str(place.parent / "secret")), make.link("y", "x"), make.member("y", b"taken")]
    extract(place, make.pack(*members))
    assert (place / "y").read_bytes() == b"taken"


# -- what no layer may have ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kind": tarfile.CHRTYPE, "device": (0, 0)}, "whiteout made by hand"),
        ({"kind": b"Z"}, "unknown type"),
        ({"kind": tarfile.CONTTYPE, "uid": -5}, "owner out of range"),
        ({"uid": 1 << 33}, "owner out of range"),
        ({"gid": (1 << 32) - 1}, "owner out of range"),
        ({"mtime": float("inf")}, "not a valid tar"),
        ({"pax": {"mtime": "nan"}}, "not a valid tar"),
        ({"kind": tarfile.BLKTYPE, "device": (1 << 40, 1)}, "not a valid tar"),
    ],
)
def test_entries_no_layer_may_have(make: SimpleNamespace, place: Path, more: dict[str, Any], words: str) -> None:
    entry, content = make.member("x", **more)
    if entry.mtime == float("inf"):
        entry.mtime, entry.pax_headers = 0, {"mtime": "inf"}
    format = tarfile.GNU_FORMAT if entry.uid < 0 or entry.devmajor else tarfile.PAX_FORMAT
    assert words in refused(place, make.pack((entry, content), format=format))


@pytest.mark.parametrize("data", [b"", b"x" * 600, b"\x1f\x8b" + bytes(600)])
def test_not_a_tar(place: Path, data: bytes) -> None:
    assert "not a valid tar archive" in refused(place, data)


def test_cut_off_in_a_file(make: SimpleNamespace, place: Path) -> None:
    data = make.pack(make.member("x", b"1" * 5000))
    for end in (700, 4096, 5000):
        refused(place, data[:end])


# -- whiteouts -------------------------------------------------------------------------------


@needs_root
def test_whiteouts_become_those_of_overlay(make: SimpleNamespace, place: Path) -> None:
    members = [
        make.directory("d"),
        make.member("d/.wh.gone"),
        make.member("d/kept", b"1"),
        make.member("d/.wh.both"),
        make.member("d/both", b"2"),
        make.directory("emptied"),
        make.member("emptied/.wh..wh..opq"),
        make.member("emptied/new", b"3"),
        make.directory("tree"),
        make.member("tree/deep/file", b"4"),
        make.member(".wh.tree"),
    ]
    extract(place, make.pack(*members))
    for name in ("d/gone", "tree"):
        status = (place / name).lstat()
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    assert (place / "d/both").read_bytes() == b"2"
    assert os.getxattr(place / "emptied", "trusted.overlay.opaque") == b"y"
    assert (place / "emptied/new").exists()
    assert "trusted.overlay.opaque" not in os.listxattr(place / "d")
    assert not list(place.rglob(".wh.*"))


@pytest.mark.parametrize("name", [".wh.", ".wh...", ".wh..", ".wh..wh.x", "d/.wh..."])
def test_whiteouts_of_what_is_no_name(make: SimpleNamespace, place: Path, name: str) -> None:
    assert "invalid whiteout" in refused(place, make.pack(make.member(name)))


def test_whiteouts_are_ordinary_names_where_they_are_not_asked_for(make: SimpleNamespace, place: Path) -> None:
    extract(place, make.pack(make.member(".wh.x", b"1")), whiteouts=False)
    assert (place / ".wh.x").read_bytes() == b"1"


# -- what needs root -------------------------------------------------------------------------


@needs_root
def test_owners_devices_and_attributes(make: SimpleNamespace, place: Path) -> None:
    attributes = ("user.note", "user.overlay.opaque", "trusted.overlay.opaque", "security.selinux")
    extract(
        place,
        make.pack(
            make.member("owned", b"1", uid=1234, gid=70000, mode=0o6755),
            make.symlink("link", "nowhere", uid=5, gid=6),
            make.member("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
            make.member("loop", kind=tarfile.BLKTYPE, device=(7, 0), mode=0o660),
            make.member("pipe", kind=tarfile.FIFOTYPE, mode=0o622),
            make.member("ping", b"1", pax={f"SCHILY.xattr.{name}": "y" for name in attributes}),
        ),
    )
    owned = (place / "owned").stat()
    assert (owned.st_uid, owned.st_gid, stat.S_IMODE(owned.st_mode)) == (1234, 70000, 0o6755)
    assert (place / "link").lstat().st_uid == 5
    null, loop, pipe = ((place / name).lstat() for name in ("null", "loop", "pipe"))
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev, stat.S_IMODE(null.st_mode)) == (True, os.makedev(1, 3), 0o666)
    assert (stat.S_ISBLK(loop.st_mode), loop.st_rdev) == (True, os.makedev(7, 0))
    assert (stat.S_ISFIFO(pipe.st_mode), stat.S_IMODE(pipe.st_mode)) == (True, 0o622)
    assert os.listxattr(place / "ping") == ["user.note"]


# -- anything --------------------------------------------------------------------------------

NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "out"]), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
TARGETS = NAMES | st.sampled_from(["..", "../..", "/", "/..", "../secret", "a/../../secret"])


@settings(max_examples=80)
@given(st.lists(st.tuples(NAMES, KINDS, TARGETS, st.binary(max_size=3)), max_size=8))
def test_no_sequence_of_entries_reaches_outside(
    make: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, str, bytes]]
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_text("untouched")
    (home / "layer").mkdir()
    members = [
        make.member(name, content if kind == tarfile.REGTYPE else b"", kind=kind, target=target)
        for name, kind, target, content in entries
    ]
    with contextlib.suppress(AgentError, OSError):
        extract(home / "layer", make.pack(*members))
    assert names(home) == ["layer", "secret"]
    secret = (home / "secret").stat()
    assert (secret.st_size, secret.st_nlink) == (9, 1)


def test_removing_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "doomed/deep").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("1")
    (tmp_path / "doomed/deep/link").symlink_to(tmp_path / "kept")
    (tmp_path / "doomed/link").symlink_to(tmp_path / "kept/file")
    parent = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        remove_tree(parent, "doomed")
        assert names(tmp_path) == ["kept"]
        assert (tmp_path / "kept/file").exists()
        (tmp_path / "link").symlink_to("kept")
        with pytest.raises(OSError):
            remove_tree(parent, "link")
    finally:
        os.close(parent)
    assert (tmp_path / "kept/file").exists()


def test_a_tree_deeper_than_a_path_can_be_is_removed(tmp_path: Path) -> None:
    """As a program can make it step by step; beside it names that the removal itself would use."""
    (tmp_path / "doomed/.0.removing").mkdir(parents=True)
    (tmp_path / "doomed/.1.removing").write_text("1")
    at = os.open(tmp_path / "doomed", os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("dd", dir_fd=at)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        below = os.open("dd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    remove_path(tmp_path / "doomed")
    remove_path(tmp_path / "doomed")
    remove_path(tmp_path / "no/doomed")
    assert names(tmp_path) == []
