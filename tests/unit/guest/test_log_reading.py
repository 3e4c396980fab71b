"""Reading a log that a power failure has left in disorder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("needs inotify", allow_module_level=True)

from atoll_agent.api.types import LogQuery
from atoll_agent.engine.logs import read_log
from atoll_agent.runtime.log_file import LogFile

ALL = LogQuery(stdout=True, stderr=True, since="", until="", tail=None, follow=False, timestamps=False)
WHOLE = b'{"log":"one\\n","stream":"stdout","time":"2026-01-01T00:00:00.000000000Z"}\n'


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"\0" * 90, id="zeroes"),
        pytest.param(WHOLE[:40], id="cut off"),
        pytest.param(b"\xff\xfe\0\0", id="utf-32-le"),
        pytest.param(b"\0\0\xfe\xff", id="utf-32-be"),
        pytest.param(b"\xef\xbb\xbf", id="mark"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="nothing"),
    ],
)
@pytest.mark.parametrize("follow", [False, True])
def test_damaged_line_is_left_out(tmp_path: Path, damage: bytes, follow: bool) -> None:
    """Zeroes: the file's size is on disk and its content is not; json would take them for UTF-32."""
    path = tmp_path / "output.log"
    path.write_bytes(WHOLE + damage + b"\n" + WHOLE)
    assert list(read_log(path, ALL._replace(follow=follow), lambda timeout_s: True)) == [(1, b"one\n")] * 2


def test_what_follows_zeroes_is_read(tmp_path: Path) -> None:
    """The next start of the container appends to what is there."""
    path = tmp_path / "output.log"
    path.write_bytes(WHOLE + b"\0" * 50)
    log = LogFile(str(path))
    log.write(2, b"two\n")
    log.close()
    assert list(read_log(path, ALL, lambda timeout_s: True)) == [(1, b"one\n"), (2, b"two\n")]
