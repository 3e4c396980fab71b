"""Processes that outlive us, are told from others with the same pid, and are ended."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atoll.system import processes
from atoll.system.processes import boot_id, end, is_alive, start_detached, start_mark

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and sessions of POSIX")
WAIT = "import sys; sys.stdin.read()"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 30, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.01)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for the end of its input."""
    with subprocess.Popen([sys.executable, "-S", "-c", WAIT], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_marks(child: subprocess.Popen[bytes]) -> None:
    mark = start_mark(child.pid)
    assert mark
    assert start_mark(child.pid) == mark
    assert is_alive(child.pid, mark)
    assert is_alive(os.getpid(), start_mark(os.getpid()))


def test_another_process_with_the_same_pid(child: subprocess.Popen[bytes]) -> None:
    assert not is_alive(child.pid, f"{start_mark(child.pid)}9")


@pytest.mark.parametrize(("pid", "mark"), [(0, "1"), (0, ""), (1, "")])
def test_nobody(pid: int, mark: str) -> None:
    assert not is_alive(pid, mark)


def test_one_that_has_ended(child: subprocess.Popen[bytes]) -> None:
    mark = start_mark(child.pid)
    child.kill()
    child.wait()
    assert start_mark(child.pid) != mark
    assert not is_alive(child.pid, mark)
    end(child.pid)  # which is no error


@posix
def test_one_that_has_ended_and_that_nobody_has_waited_for(child: subprocess.Popen[bytes]) -> None:
    mark = start_mark(child.pid)
    child.kill()
    wait_for(lambda: not is_alive(child.pid, mark))
    assert child.returncode is None


@pytest.mark.skipif(sys.platform != "linux", reason="names in /proc")
@pytest.mark.parametrize("name", ["ääääääää", "a) S 1 (b", "x y\nz"])
def test_a_strange_name(tmp_path: Path, name: str) -> None:
    """The kernel keeps 15 bytes of a name, and cuts through characters."""
    program = tmp_path / name
    program.symlink_to(shutil.which("sleep") or "")
    with subprocess.Popen([program, "100"]) as process:
        mark = start_mark(process.pid)
        assert mark.isdigit()
        assert is_alive(process.pid, mark)
        process.kill()


# -- macOS, which has only `ps` -----------------------------------------------------------------


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part for systems without /proc."""
    monkeypatch.setattr(processes, "sys", SimpleNamespace(platform="darwin"))


needs_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not installed")


@posix
@needs_ps
@pytest.mark.usefixtures("mac")
def test_ps_tells_the_start_until_a_process_ends(child: subprocess.Popen[bytes]) -> None:
    assert start_mark(child.pid)
    child.kill()
    wait_for(lambda: start_mark(child.pid) == "")
    assert child.returncode is None  # nobody has waited for it: it is listed still
    child.wait()
    assert start_mark(child.pid) == ""


@posix
@pytest.mark.usefixtures("mac")
def test_a_mark_is_the_same_for_a_traveller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a machine that was started at home would seem to be stopped abroad."""
    ps = tmp_path / "ps"
    ps.write_text('#!/bin/sh\necho "Ss   $LC_ALL $TZ"\n')
    ps.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    marks = set()
    for zone, language in (("Europe/Berlin", "de_DE.UTF-8"), ("Asia/Tokyo", "ja_JP.UTF-8")):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        marks.add(start_mark(os.getpid()))
    assert marks == {"C UTC0"}


# -- Windows ------------------------------------------------------------------------------------


class Kernel32:
    """Just enough of Windows: the times at which processes began, by pid; `ended` ones are still known for a while."""

    def __init__(self, began: dict[int, int], ended: set[int]) -> None:
        self.began, self.ended, self.open = began, ended, 0

    def OpenProcess(self, rights: int, inherit: bool, pid: int) -> int:
        self.open += pid in self.began
        return pid if pid in self.began else 0

    def GetExitCodeProcess(self, handle: int, code: Any) -> int:
        code._obj.value = 1 if handle in self.ended else processes.STILL_ACTIVE
        return 1

    def GetProcessTimes(self, handle: int, *times: Any) -> int:
        times[0]._obj.value = self.began[handle]
        return 1

    def CloseHandle(self, handle: int) -> None:
        self.open -= 1


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Kernel32:
    """The part for Windows, with a kernel that is not one."""
    kernel = Kernel32({10: 133_700_000_000_000_000, 11: 5}, {11})
    monkeypatch.setattr(processes, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    return kernel


def test_windows_tells_a_process_from_a_later_one_with_its_pid(windows: Kernel32) -> None:
    mark = start_mark(10)
    assert is_alive(10, mark)
    windows.began[10] += 1
    assert not is_alive(10, mark)
    assert windows.open == 0


def test_windows_processes_that_are_not_there(windows: Kernel32) -> None:
    assert start_mark(11) == ""  # ended, but somebody holds a handle
    assert start_mark(12) == ""
    assert windows.open == 0


def test_windows_has_other_words_for_a_process_that_has_ended(
    windows: Kernel32, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, number: int) -> None:
        raise OSError(22, "The parameter is incorrect")

    monkeypatch.setattr(processes.os, "kill", kill)
    end(12)
    end(12, force=True)


# -- starting and ending ------------------------------------------------------------------------


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Pids of detached processes; those that still run at the end are ended."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if start_mark(pid):
            end(pid, force=True)


def test_a_detached_process_writes_to_its_log(tmp_path: Path, started: list[int]) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    script = "import os, sys; print(os.environ['WORD'], flush=True); print(sys.stdin.read() == '', file=sys.stderr)"
    pid = start_detached([sys.executable, "-c", script], log, {**os.environ, "WORD": "out"})
    started.append(pid)
    mark = start_mark(pid)
    wait_for(lambda: not is_alive(pid, mark))
    assert log.read_text().split() == ["before", "out", "True"]


@posix
def test_it_survives_the_terminal_of_its_parent(tmp_path: Path, started: list[int]) -> None:
    """A session of its own: Ctrl-C and a closed terminal do not reach it."""
    pid = start_detached([sys.executable, "-S", "-c", "import time; time.sleep(1000)"], tmp_path / "log")
    started.append(pid)
    assert os.getsid(pid) == pid != os.getsid(0)


def test_it_survives_its_parent(tmp_path: Path, started: list[int]) -> None:
    script = (
        "import sys; from pathlib import Path; from atoll.system.processes import start_detached\n"
        "sleeper = [sys.executable, '-S', '-c', 'import time; time.sleep(1000)']\n"
        "print(start_detached(sleeper, Path(sys.argv[1])))"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "log")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    pid = int(done.stdout)
    started.append(pid)
    assert done.stderr == ""
    assert start_mark(pid)


def test_no_such_program(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start_detached([str(tmp_path / "nowhere")], tmp_path / "log")


@posix
def test_asking_and_insisting(tmp_path: Path, started: list[int]) -> None:
    script = "import signal, sys; signal.signal(15, lambda *a: print('asked', flush=True)); print('up', flush=True)\n"
    log = tmp_path / "log"
    pid = start_detached([sys.executable, "-c", f"{script}while True: signal.pause()"], log)
    started.append(pid)
    mark = start_mark(pid)
    wait_for(lambda: "up" in log.read_text())
    end(pid)
    wait_for(lambda: "asked" in log.read_text())
    assert is_alive(pid, mark)
    end(pid, force=True)
    wait_for(lambda: not is_alive(pid, mark))


@posix
def test_somebody_elses_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        raise PermissionError

    monkeypatch.setattr(processes.os, "kill", kill)
    end(1)
    end(1, force=True)
    assert asked == [(1, signal.SIGTERM), (1, signal.SIGKILL)]


def test_boot_id_does_not_change() -> None:
    assert boot_id() == boot_id()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_boot_id_is_told() -> None:
    assert boot_id()
