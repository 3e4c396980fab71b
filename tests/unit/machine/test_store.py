"""Machines on disk: torn notes, half-made ones, names that are taken, paths too long for a socket."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from atoll.config import MachineConfig
from atoll.errors import ConfigError, MachineExists, MachineNotFound
from atoll.machine import store
from atoll.machine.endpoint import Endpoint
from atoll.machine.running import find_endpoint
from atoll.machine.store import (
    KeeperState,
    Machine,
    create_machine,
    find_machine,
    get_machine,
    list_machines,
    remove_machine,
)  # fmt: skip
from atoll.system.processes import start_mark

posix = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets and owners of POSIX")
LONGEST_SOCKET_PATH = 103
"""On macOS; Linux allows 107."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All state in a directory of the test's own."""
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path))
    return tmp_path


def make(name: str) -> Machine:
    return create_machine(MachineConfig(name, arch="amd64"))


def alive_state(**more: Any) -> KeeperState:
    return KeeperState("running", os.getpid(), start_mark(os.getpid()), ("unix", "/x/docker.sock", ""), **more)


# -- names --------------------------------------------------------------------------------------


def test_made_found_listed_removed(home: Path) -> None:
    assert list_machines() == []
    made = [make(name) for name in ("b", "a")]
    assert [machine.name for machine in list_machines()] == ["a", "b"]
    assert find_machine("b") == get_machine("b") == made[0]
    assert made[0].config.disk_gib == 64
    remove_machine(made[0])
    assert [path.name for path in (home / "machines").iterdir()] == ["a"]
    with pytest.raises(MachineNotFound) as caught:
        get_machine("b")
    assert "atoll machine create b" in caught.value.hint


def test_a_name_that_is_taken(home: Path) -> None:
    first = make("a")
    before = {path.name: path.read_bytes() for path in first.directory.iterdir()}
    with pytest.raises(MachineExists) as caught:
        make("a")
    assert caught.value.hint
    assert {path.name: path.read_bytes() for path in first.directory.iterdir()} == before
    assert [path.name for path in (home / "machines").iterdir()] == ["a"]


def test_a_name_that_is_taken_in_the_same_moment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = store.save_config

    def be_slower(config: MachineConfig, path: Path) -> None:
        save(config, path)
        monkeypatch.setattr(store, "save_config", save)
        make("a")

    monkeypatch.setattr(store, "save_config", be_slower)
    with pytest.raises(MachineExists):
        make("a")
    assert [path.name for path in (home / "machines").iterdir()] == ["a"]


@pytest.mark.parametrize("left", [".new-x7", ".removing-a-12", "Backup of a", "a.old"])
def test_what_a_power_cut_or_a_person_left_is_no_machine(home: Path, left: str) -> None:
    make("a").directory.rename(home / "machines" / left)
    assert list_machines() == []
    assert find_machine(left) is None
    make("a")


@pytest.mark.parametrize("name", ["../machines/a", "./a", "a/", "", ".", "A"])
def test_a_path_is_no_name(home: Path, name: str) -> None:
    make("a")
    assert find_machine(name) is None


# -- what the keeper told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '"running"', "{}", '{"status": "running"}', "\udcff\udcfe",
        '{"status": "running", "pid": 1, "mark": "1", "endpoint": 3}',
        '{"status": "running", "pid": 1, "mark": "1", "endpoint": [], "of": "another version"}',
    ],
)  # fmt: skip
def test_a_torn_note_is_as_good_as_none(home: Path, text: str) -> None:
    machine = make("a")
    machine.file("keeper.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert machine.read_state() is None
    assert machine.status == "stopped"
    assert machine.endpoint() is None
    assert find_endpoint("a") is None


@pytest.mark.parametrize(("pid", "mark"), [(None, None), ("x", "1"), (-1, "1"), (1 << 40, "1"), (0, ""), (1.5, "2")])
def test_a_note_with_a_pid_that_cannot_be(home: Path, pid: object, mark: object) -> None:
    machine = make("a")
    note = {"status": "running", "pid": pid, "mark": mark, "endpoint": ["unix", "/x", ""]}
    machine.file("keeper.json").write_text(json.dumps(note))
    assert machine.status == "stopped"
    assert machine.endpoint() is None


def test_the_note_of_a_keeper_that_runs(home: Path) -> None:
    machine = make("a")
    machine.write_state(alive_state(ssh_port=7))
    assert machine.status == "running"
    assert machine.endpoint() == find_endpoint("a") == Endpoint("unix", "/x/docker.sock")
    found = machine.read_state()
    assert found
    assert found.ssh_port == 7
    machine.clear_state()
    machine.clear_state()
    assert machine.status == "stopped"


@posix
def test_the_note_is_its_owners_alone(home: Path) -> None:
    machine = make("a")
    machine.write_state(alive_state())
    assert machine.file("keeper.json").stat().st_mode & 0o077 == 0


def test_the_consoles_last_lines(home: Path) -> None:
    machine = make("a")
    assert machine.console_tail() == ""
    machine.file("console.log").write_bytes(b"x" * 10_000 + b"\r\none\r\n\xff\xfe two  \nthree")
    assert machine.console_tail(2) == "\ufffd\ufffd two\nthree"


# -- sockets --------------------------------------------------------------------------------------


def machine_of_length(home: Path, length: int) -> Machine:
    directory = home / ("d" * (length - len(os.fsencode(home)) - 1))
    directory.mkdir()
    return Machine(directory)


@posix
@pytest.mark.parametrize("length", [store.MAX_SOCKET_PATH, store.MAX_SOCKET_PATH + 1, 200])
def test_sockets_have_room(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    with tempfile.TemporaryDirectory(prefix="atoll-test-") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        machine = machine_of_length(Path(short), length)
        assert (machine.sockets == machine.directory) == (length <= store.MAX_SOCKET_PATH)
        assert machine.sockets == machine.sockets
        assert machine.sockets.stat().st_uid == os.getuid()
        for name in ("docker.sock", "control.sock", "monitor.sock", "wire.sock"):
            path = machine.sockets / name
            assert len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(path))


@posix
@pytest.mark.parametrize("taken", ["file", "link", "somebody else"])
def test_a_short_place_that_is_not_ours(monkeypatch: pytest.MonkeyPatch, taken: str) -> None:
    with tempfile.TemporaryDirectory(prefix="atoll-test-") as name:
        short = Path(name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        machine = machine_of_length(short, 150)
        place = machine.sockets
        assert place.parent == short
        assert place.stat().st_mode & 0o077 == 0
        place.rmdir()
        match taken:
            case "file":
                place.write_text("x")
            case "link":
                (short / "other").mkdir()
                place.symlink_to("other")
            case "somebody else":
                place.mkdir()
                monkeypatch.setattr(store.os, "getuid", lambda: place.stat().st_uid + 1)
        with pytest.raises(ConfigError, match="not a directory of yours") as caught:
            _ = machine.sockets
        assert "ATOLL_HOME" in caught.value.hint


@posix
def test_removing_a_machine_takes_its_short_place_along(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    monkeypatch.setattr(store, "MAX_SOCKET_PATH", 1)
    machine = make("a")
    place = machine.sockets
    (place / "docker.sock").touch()
    remove_machine(machine)
    assert not place.exists()
