"""A lock between processes goes with its process, however that ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.system.locks import FileLock

HOLD = """
import sys
from pathlib import Path
from atoll.system.locks import FileLock
print(FileLock(Path(sys.argv[1])).acquire(0), flush=True)
lock = FileLock(Path(sys.argv[2]))
print(lock.acquire(0), flush=True)
sys.stdin.read()
lock.release()
print("released", flush=True)
sys.stdin.close()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which takes `theirs` while we hold `ours`."""
    with FileLock(tmp_path / "ours"):
        command = [sys.executable, "-c", HOLD, str(tmp_path / "ours"), str(tmp_path / "theirs")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "False\n"  # it cannot have ours
            assert process.stdout.readline() == "True\n"
            yield process
            process.kill()


def test_only_one_process_has_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = FileLock(tmp_path / "theirs")
    assert not lock.acquire(0)
    assert not lock.acquire(0.05)
    assert holder.stdin and holder.stdout
    holder.stdin.close()
    assert holder.stdout.readline() == "released\n"
    assert lock.acquire(30)
    lock.release()


def test_a_killed_holder_leaves_no_lock_only_its_file(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = FileLock(tmp_path / "theirs")
    assert not lock.acquire(0)
    holder.kill()
    assert lock.acquire(30)
    lock.release()


def test_whoever_waits_gets_it_when_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = FileLock(path), FileLock(path)
    assert first.acquire(0)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(second.acquire(30)))
    waiting.start()
    first.release()
    waiting.join()
    assert got == [True]
    assert not first.acquire(0)
    second.release()


def test_a_file_that_lay_there_is_no_lock_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"4711 was here")
    lock = FileLock(path)
    assert lock.acquire(0)
    lock.release()
    lock.release()  # twice is no error
    assert path.exists()


def test_its_directory_is_made(tmp_path: Path) -> None:
    with FileLock(tmp_path / "a" / "b" / "lock"):
        assert (tmp_path / "a" / "b" / "lock").exists()


def test_an_error_inside_gives_it_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FileLock(tmp_path / "lock"):
        _ = 1 // 0
    assert FileLock(tmp_path / "lock").acquire(0)
