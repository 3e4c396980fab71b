"""The tar reader and writer: against each other, against Python's own, and against nonsense."""

from __future__ import annotations

import contextlib
import io
import sys
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the guest runs on Linux", allow_module_level=True)

from atoll_agent.images import tar_format
from atoll_agent.images.tar_format import (
    DIRECTORY,
    END,
    LINK,
    REGULAR,
    SYMLINK,
    Entry,
    TarError,
    format_entry,
    padding,
    parse_time,
)
from atoll_agent.images.tar_read import TarReader

NAMES = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=300
) | st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
ENTRIES = st.builds(
    Entry,
    name=NAMES,
    kind=st.sampled_from([REGULAR, DIRECTORY, SYMLINK, LINK]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 2),
    gid=st.integers(0, (1 << 32) - 2),
    mtime_ns=st.integers(-(1 << 60), 1 << 60),
    xattrs=st.dictionaries(st.sampled_from(["user.a", "security.capability"]), st.binary(max_size=30)),
)


def write(members: list[tuple[Entry, bytes]]) -> bytes:
    out = []
    for entry, content in members:
        entry.size = len(content)
        out += [format_entry(entry), content, bytes(padding(len(content)))]
    return b"".join([*out, END])


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    reader = TarReader(io.BytesIO(data))
    found = []
    for entry in reader:
        content = b""
        while part := reader.read(7):
            content += part
        found.append((entry, content))
    return found


@settings(max_examples=150)
@given(st.lists(st.tuples(ENTRIES, st.binary(max_size=1200), NAMES), max_size=4))
def test_what_is_written_is_read(given: list[tuple[Entry, bytes, str]]) -> None:
    members = []
    for entry, content, target in given:
        if entry.kind == REGULAR and entry.name.endswith("/"):
            entry.name += "x"  # with a slash it means a directory
        entry.target = target if entry.kind in (SYMLINK, LINK) else ""
        members.append((entry, content if entry.kind == REGULAR else b""))
    found = read(write(members))
    assert len(found) == len(members)
    for (old, content), (new, same) in zip(members, found, strict=True):
        old.real_size = old.size
        assert new == old
        assert same == content


@settings(max_examples=60)
@given(ENTRIES, st.binary(max_size=100))
def test_pythons_reader_agrees(entry: Entry, content: bytes) -> None:
    if entry.name.endswith("/") or not entry.name.isprintable():
        return
    content = content if entry.kind == REGULAR else b""
    entry.target = "target" if entry.kind in (SYMLINK, LINK) else ""
    with tarfile.open(fileobj=io.BytesIO(write([(entry, content)])), errors="surrogateescape") as archive:
        (found,) = archive.getmembers()
        assert (found.name, found.type, found.linkname) == (entry.name, entry.kind, entry.target)
        assert (found.mode, found.uid, found.gid, found.size) == (entry.mode, entry.uid, entry.gid, len(content))
        assert found.mtime == pytest.approx(entry.mtime_ns / 1e9, abs=1)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pythons_archives_are_read(format: int) -> None:
    out = io.BytesIO()
    long = "d/" * 60 + "file" if format == tarfile.USTAR_FORMAT else "n" * 300
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, target in (
            ("plain", ""),
            (long, ""),
            ("link", "t" * (90 if format == tarfile.USTAR_FORMAT else 300)),
        ):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.SYMTYPE if target else tarfile.REGTYPE
            entry.linkname, entry.size, entry.mtime = target, 0 if target else 3, 1700000000
            archive.addfile(entry, io.BytesIO(b"abc"))
    found = read(out.getvalue())
    assert [(entry.name, content) for entry, content in found] == [("plain", b"abc"), (long, b"abc"), ("link", b"")]
    assert len(found[2][0].target) >= 90
    assert found[0][0].mtime_ns == 1700000000 * 10**9


@settings(max_examples=200)
@given(st.binary(max_size=1600), st.integers(0, 1500), st.binary(min_size=1, max_size=8))
def test_nonsense_ends_in_an_error_or_entries(data: bytes, at: int, patch: bytes) -> None:
    whole = bytearray(write([(Entry("a" * 150, xattrs={"user.x": b"1"}), b"x" * 700), (Entry("b", SYMLINK), b"")]))
    whole[at : at + len(patch)] = patch
    for tried in (data, bytes(whole), bytes(whole[:at])):
        with contextlib.suppress(TarError):
            read(tried)


@settings(max_examples=60)
@given(st.lists(st.tuples(ENTRIES, st.binary(max_size=1200)), min_size=1, max_size=4), st.binary(max_size=600))
def test_kept_bytes_and_payload_are_the_archive(members: list[tuple[Entry, bytes]], trailing: bytes) -> None:
    for entry, _ in members:
        entry.kind, entry.name = REGULAR, entry.name.rstrip("/") + "x"
    data = write(members) + trailing
    parts: list[bytes] = []
    reader = TarReader(io.BytesIO(data), parts.append)
    for number, _ in enumerate(reader):
        if number % 2:
            continue  # what is not read is kept
        while part := reader.read(100):
            parts.append(part)
    reader.finish()
    assert b"".join(parts) == data


@pytest.mark.parametrize(
    ("records", "parts", "size"),
    [
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "20"}, [(2, 3), (10, 4)], 20),
        ({"GNU.sparse.map": "2,3,10,4", "GNU.sparse.size": "20", "GNU.sparse.numblocks": "2"}, [(2, 3), (10, 4)], 20),
    ],
)
def test_sparse_files_of_gnu_tar(records: dict[str, str], parts: list[tuple[int, int]], size: int) -> None:
    payload = b"abcdefg"
    if "GNU.sparse.major" in records:
        payload = b"2\n2\n3\n10\n4\n".ljust(512, b"\0") + payload
    entry = tarfile.TarInfo("GNUSparseFile.0/x")
    entry.size, entry.pax_headers = len(payload), {**records, "GNU.sparse.name": "x"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(payload))
    ((found, content),) = read(out.getvalue())
    assert (found.name, found.sparse, found.real_size, content) == ("x", parts, size, b"abcdefg")


@pytest.mark.parametrize(
    "changes",
    [
        {"GNU.sparse.map": "10,4,2,3"}, {"GNU.sparse.map": "2,3,10,400"}, {"GNU.sparse.map": "2,3,10"},
        {"GNU.sparse.map": "2,x"}, {"GNU.sparse.size": "-1"}, {"GNU.sparse.size": "5"},
    ],
)  # fmt: skip
def test_sparse_maps_that_lie(changes: dict[str, str]) -> None:
    records = {"GNU.sparse.map": "2,3,10,4", "GNU.sparse.size": "20", **changes}
    entry = tarfile.TarInfo("x")
    entry.size, entry.pax_headers = 7, records
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(b"abcdefg"))
    with pytest.raises(TarError):
        read(out.getvalue())


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [(b"1.5", 1_500_000_000), (b"-1.25", -1_250_000_000), (b"7", 7 * 10**9), (b"1.0000000019", 10**9 + 1)],
)
def test_times(text: bytes, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize("text", [b"", b"-", b"nan", b"inf", b"1e9", b"1.x", b"9" * 19, b"--1"])
def test_times_that_are_none(text: bytes) -> None:
    with pytest.raises(TarError):
        parse_time(text)


def test_numbers_beyond_octal() -> None:
    assert tar_format.parse_number(b"\x80" + bytes(10) + b"\x07") == 7
    assert tar_format.parse_number(b"\xff" * 12) == -1
    for text in (b"9" * 8, b"\x80" + b"\xff" * 11, b"12 34\0\0\0"):
        with pytest.raises(TarError):
            tar_format.parse_number(text)
