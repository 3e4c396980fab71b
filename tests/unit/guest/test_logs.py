"""Reading a log back: the tail, a span of time, streams, rotated files, and following to the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("needs inotify", allow_module_level=True)

from atoll_agent.api.types import LogQuery
from atoll_agent.engine.logs import read_log
from atoll_agent.runtime.log_file import LogFile, format_time

ALL = LogQuery(stdout=True, stderr=True, since="", until="", tail=None, follow=False, timestamps=False)


def over(timeout_s: float) -> bool:
    return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten lines, one a second; the odd ones are errors."""
    file = tmp_path / "output.log"
    with file.open("w") as out:
        for n in range(10):
            stream = "stderr" if n % 2 else "stdout"
            out.write(json.dumps({"log": f"{n}\n", "stream": stream, "time": format_time(n * 10**9)}) + "\n")
    return file


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ({}, "0123456789"),
        ({"stderr": False}, "02468"),
        ({"stdout": False}, "13579"),
        ({"tail": 3}, "789"),
        ({"tail": 0}, ""),
        ({"tail": 100}, "0123456789"),
        ({"tail": 2, "stdout": False}, "79"),
        ({"since": format_time(3 * 10**9)}, "3456789"),
        ({"since": format_time(3 * 10**9 + 1)}, "456789"),
        ({"until": format_time(3 * 10**9)}, "0123"),
        ({"since": format_time(2 * 10**9), "until": format_time(5 * 10**9), "tail": 2}, "45"),
        ({"follow": True, "tail": 2}, "89"),
    ],
)
def test_what_is_read(path: Path, query: dict[str, Any], lines: str) -> None:
    found = [(stream, data) for stream, data in read_log(path, ALL._replace(**query), over) if data]
    assert found == [(2 if int(n) % 2 else 1, f"{n}\n".encode()) for n in lines]


def test_times_in_front(path: Path) -> None:
    (found,) = read_log(path, ALL._replace(tail=1, timestamps=True), over)
    assert found == (2, b"1970-01-01T00:00:09.000000000Z 9\n")


def test_a_log_that_was_never_written(tmp_path: Path) -> None:
    assert list(read_log(tmp_path / "output.log", ALL, over)) == []


def test_rotated_files_come_first_and_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    log = LogFile(str(path), max_size=1, max_file=12)
    for n in range(11):
        log.write(1, b"%d\n" % n)
    log.close()
    path.with_name("output.log.other").write_text("not ours\n")
    assert len(list(tmp_path.glob("output.log.[0-9]*"))) == 11
    assert [data for _, data in read_log(path, ALL, over)] == [b"%d\n" % n for n in range(11)]
    assert [data for _, data in read_log(path, ALL._replace(tail=2), over)] == [b"9\n", b"10\n"]


def test_a_line_that_is_being_written_comes_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    log = LogFile(str(path))
    log.write(1, b"first\n")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    assert [data for _, data in read_log(path, ALL, over)] == [b"first\n"]

    def finish(timeout_s: float) -> bool:
        with path.open("ab") as out:
            out.write(whole[30:])
        return True

    lines = read_log(path, ALL._replace(follow=True), finish)
    assert [data for _, data in lines if data] == [b"first\n", b"first\n"]
    log.close()
