"""Which engine a command speaks to."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.cli.target import Target
from atoll.machine import lifecycle
from atoll.machine.endpoint import Endpoint


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All state in a directory of the test's own."""
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody who answers."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the machines that were started; none really is."""
    names: list[str] = []

    def ensure_running(name: str, **_options: object) -> Endpoint:
        names.append(name)
        return Endpoint("tcp", "127.0.0.1:9", "")

    monkeypatch.setattr(lifecycle, "ensure_running", ensure_running)
    return names


def write_state(home: Path, name: str, text: str) -> None:
    directory = home / "machines" / name
    directory.mkdir(parents=True)
    (directory / "keeper.json").write_text(text, encoding="utf-8")


def state(status: str, port: int) -> str:
    return json.dumps({"status": status, "pid": 1, "endpoint": ["tcp", f"127.0.0.1:{port}", "secret"]})


def test_running_machine_is_spoken_to_at_once(home: Path, listener: socket.socket, started: list[str]) -> None:
    port = listener.getsockname()[1]
    write_state(home, "m", state("running", port))
    target = Target(machine="m")
    assert target.engine().endpoint.address == f"127.0.0.1:{port}"
    assert target.engine() is target.engine()
    target.close()
    assert started == []


def test_keeper_that_was_killed_left_its_file_behind(home: Path, listener: socket.socket, started: list[str]) -> None:
    port = listener.getsockname()[1]
    listener.close()
    write_state(home, "m", state("running", port))
    Target(machine="m").engine()
    assert started == ["m"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"status": "running"}', '{"status": "running", "endpoint": 3}'])
def test_state_that_makes_no_sense(home: Path, started: list[str], text: str) -> None:
    write_state(home, "m", text)
    Target(machine="m").engine()
    assert started == ["m"]


def test_machine_that_is_still_starting(home: Path, started: list[str]) -> None:
    write_state(home, "m", state("starting", 9))
    Target(machine="m").engine()
    assert started == ["m"]


def test_no_machine_yet(home: Path, started: list[str]) -> None:
    Target().engine()
    assert started == ["default"]


def test_address_goes_before_the_machine(home: Path, started: list[str]) -> None:
    target = Target(machine="m", host="tcp://127.0.0.1:9")
    assert target.engine().endpoint == Endpoint("tcp", "127.0.0.1:9", "")
    assert started == []
