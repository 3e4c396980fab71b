"""What went wrong is told in one line, never with a traceback."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from atoll.cli.app import run
from atoll.cli.exits import FAILED, INTERRUPTED, ExitWith, guarded
from atoll.errors import BootError, HostError
from atoll.system import files


def fail_with(error: BaseException) -> int:
    def work() -> int:
        raise error

    return guarded(work)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (HostError("it is broken", "mend it"), FAILED, ["error: it is broken", "hint: mend it"]),
        (BootError("no boot", console="last words"), FAILED, ["error: no boot", "last words"]),
        (ExitWith(HostError("engine"), 125), 125, ["error: engine"]),
        (KeyboardInterrupt(), INTERRUPTED, []),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/disk"),
            FAILED,
            ["error: /x/disk: no space left on device", "hint: see `atoll doctor`"],
        ),
        (OSError(errno.EIO, "Input/output error"), FAILED, ["error: input/output error", "hint: see `atoll doctor`"]),
        (TimeoutError("timed out"), FAILED, ["error: timed out", "hint: see `atoll doctor`"]),
    ],
)
def test_told(capsys: pytest.CaptureFixture[str], error: BaseException, code: int, lines: list[str]) -> None:
    assert fail_with(error) == code
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))

    def full(descriptor: int, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", full)
        code = run(["machine", "create", "lab"])
    assert code == FAILED
    assert capsys.readouterr().err.startswith("error: no space left on device\n")
    assert run(["machine", "create", "lab"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other words for it")
def test_a_home_that_is_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path / "file"))
    assert run(["machine", "create", "lab"]) == FAILED
    assert f"error: {tmp_path / 'file' / 'machines'}: not a directory" in capsys.readouterr().err
