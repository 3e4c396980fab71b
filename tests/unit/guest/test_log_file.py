"""Output on disk: Docker's json-file lines, rotation, and what a crash or a full disk leaves."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.runtime import log_file
from atoll_agent.runtime.log_file import LINE_LIMIT, LogFile, format_time

if not hasattr(os, "O_CLOEXEC"):
    pytest.skip("logs are written on POSIX systems", allow_module_level=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


def records(path: Path) -> list[tuple[str, str]]:
    """Stream and text of every line; all must be whole."""
    return [(r["stream"], r["log"]) for r in map(json.loads, path.read_text().splitlines())]


def written(path: Path, *writes: tuple[int, bytes], **limits: Any) -> list[tuple[str, str]]:
    log = LogFile(str(path), **limits)
    for stream, data in writes:
        log.write(stream, data)
    log.close()
    return records(path)


def test_a_line_is_dockers(path: Path) -> None:
    written(path, (1, b'a "quoted"\tline \\ \x1b[0m \xc3\xa9\n'))
    line = path.read_bytes()
    assert line.startswith(b'{"log":"a \\"quoted\\"\\tline \\\\ \\u001b[0m \xc3\xa9\\n","stream":"stdout","time":"')
    assert line.endswith(b'Z"}\n')
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", json.loads(line)["time"])
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
        (951_782_400_999_999_999, "2000-02-29T00:00:00.999999999Z"),
    ],
)
def test_time(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text


def test_the_parts_of_a_line_are_joined_per_stream(path: Path) -> None:
    writes = [(1, b"one "), (2, b"err"), (1, b"line\ntwo"), (2, b"or\n"), (1, b""), (1, b"!\n\n")]
    assert written(path, *writes) == [
        ("stdout", "one line\n"),
        ("stderr", "error\n"),
        ("stdout", "two!\n"),
        ("stdout", "\n"),
    ]


def test_a_last_line_without_end_is_kept(path: Path) -> None:
    assert written(path, (1, b"whole\nrest"), (2, b"other")) == [
        ("stdout", "whole\n"),
        ("stdout", "rest"),
        ("stderr", "other"),
    ]


def test_what_is_no_text_is_replaced(path: Path) -> None:
    assert written(path, (1, b"a\xff\xfeb\n")) == [("stdout", "a\ufffd\ufffdb\n")]


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (LINE_LIMIT - 1, [LINE_LIMIT]),
        (LINE_LIMIT, [LINE_LIMIT, 1]),
        (LINE_LIMIT + 5, [LINE_LIMIT, 6]),
        (3 * LINE_LIMIT + 5, [LINE_LIMIT, LINE_LIMIT, LINE_LIMIT, 6]),
    ],
)
@pytest.mark.parametrize("piece", [1000, 1 << 20])
def test_long_lines_are_cut_as_docker_cuts_them(path: Path, size: int, parts: list[int], piece: int) -> None:
    data = b"x" * size + b"\n"
    found = written(path, *((1, data[at : at + piece]) for at in range(0, len(data), piece)))
    assert [len(text) for _, text in found] == parts
    assert [text.endswith("\n") for _, text in found] == [False] * (len(parts) - 1) + [True]


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.text(alphabet="ab\n", max_size=12)), max_size=20))
def test_no_byte_is_lost(tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, str]]) -> None:
    path = tmp_path_factory.mktemp("log") / "output.log"
    found = written(path, *((stream, text.encode()) for stream, text in writes))
    for number, name in ((1, "stdout"), (2, "stderr")):
        assert "".join(t for s, t in found if s == name) == "".join(t for s, t in writes if s == number)


# -- rotation --------------------------------------------------------------------------------


def test_rotation_keeps_so_many_files_newest_first(path: Path) -> None:
    log = LogFile(str(path), max_size=200, max_file=3)
    for number in range(12):
        log.write(1, b"%02d" % number * 10 + b"\n")
    log.close()
    assert sorted(p.name for p in path.parent.iterdir()) == ["output.log", "output.log.1", "output.log.2"]
    files = [path.with_name("output.log.2"), path.with_name("output.log.1"), path]
    assert [text[:2] for file in files for _, text in records(file)] == ["06", "07", "08", "09", "10", "11"][-6:]
    assert all(file.stat().st_size > 200 for file in files[:2])


def test_with_one_file_it_begins_again(path: Path) -> None:
    found = written(path, (1, b"a" * 150 + b"\n"), (1, b"b" * 150 + b"\n"), (1, b"c\n"), max_size=150)
    assert found == [("stdout", "c\n")]
    assert [p.name for p in path.parent.iterdir()] == ["output.log"]


def test_the_size_counts_what_was_there_before(path: Path) -> None:
    written(path, (1, b"a" * 100 + b"\n"))
    written(path, (1, b"b" * 20 + b"\n"), max_size=200, max_file=2)
    assert [p.name for p in sorted(path.parent.iterdir())] == ["output.log", "output.log.1"]


# -- bad days --------------------------------------------------------------------------------


def test_a_line_torn_by_a_crash_does_not_spoil_the_next(path: Path) -> None:
    written(path, (1, b"whole\n"))
    torn = path.read_bytes()[:20]
    path.write_bytes(path.read_bytes() + torn)
    LogFile(str(path)).close()
    log = LogFile(str(path))
    log.write(1, b"after\n")
    log.close()
    lines = path.read_bytes().split(b"\n")
    assert torn in lines
    assert [json.loads(line)["log"] for line in lines if line and line != torn] == ["whole\n", "after\n"]


def test_a_full_disk_loses_lines_but_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.write, [30]

    def almost_full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        count = real(descriptor, data[: room[0]])
        room[0] -= count
        return count

    log = LogFile(str(path))
    monkeypatch.setattr(log_file.os, "write", almost_full)
    log.write(1, b"lost\n")
    log.write(1, b"lost too\n")
    room[0] = 1 << 20
    log.write(1, b"kept\n")
    log.close()
    whole = [line for line in path.read_bytes().split(b"\n") if line.endswith(b"}")]
    assert [json.loads(line)["log"] for line in whole] == ["kept\n"]
