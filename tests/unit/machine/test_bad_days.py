"""What a computer does to machines: killed, filled, tidied up by strangers. Each start must come up or say why not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atoll.errors import BootError, ConfigError, HostError
from atoll.machine import lifecycle, proof
from atoll.machine.store import KeeperState, Machine, get_machine
from atoll.ssh.keys import ensure_keys
from atoll.system import files
from atoll.system.processes import is_alive, start_mark

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the fake QEMU uses unix sockets"),
    pytest.mark.usefixtures("lab"),
]
SOCKETS = ("docker.sock", "control.sock", "monitor.sock", "wire.sock")


@pytest.fixture
def machine() -> Machine:
    """A machine that was never started."""
    return lifecycle.make("default")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def state(machine: Machine) -> KeeperState:
    found = machine.read_state()
    assert found
    return found


# -- what lies where something of ours should ----------------------------------------------------


def test_sockets_of_yesterday(machine: Machine) -> None:
    places = [machine.sockets / name for name in SOCKETS]
    places[0].write_text("x")
    places[1].symlink_to("nowhere")
    for place in places[2:]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(place))
    lifecycle.start(machine)
    assert machine.status == "running"


@pytest.mark.parametrize("name", ["docker.sock", "control.sock"])
def test_a_socket_s_place_that_is_taken_for_good(machine: Machine, name: str) -> None:
    """Also late: the machine is up already when the place for Docker's socket turns out to be taken."""
    (machine.sockets / name / "full").mkdir(parents=True)
    with pytest.raises(BootError) as caught:
        lifecycle.start(machine)
    assert name in caught.value.message
    assert caught.value.hint
    assert state(machine).status == "failed"
    wait_for(lambda: not processes_of(machine))


def processes_of(machine: Machine) -> str:
    """The command lines of what runs with this machine's files."""
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listed.splitlines() if str(machine.directory) in line)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 30, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def test_a_wire_that_cannot_be_joined_is_a_reason_to_try_the_next_accelerator(machine: Machine, lab: Any) -> None:
    lab.behave(kvm="deaf", tcg="ok")
    lifecycle.start(machine)
    found = state(machine)
    assert found.accelerator == "tcg"
    assert "kvm: " in found.reason


@pytest.mark.parametrize("text", ["", "[]", "3", '{"x": ', "\udcff", '{"k": {"accelerator": "steam", "rejected": []}}'])
def test_a_damaged_note_of_accelerators(lab: Any, text: str) -> None:
    note = lab.directory / "home" / "cache" / "accelerators.json"
    note.parent.mkdir(parents=True)
    note.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert proof.load_verdict("k") is None
    proof.forget_verdict("other")
    verdict = proof.Verdict("tcg", (("kvm", "aborts"),))
    proof.save_verdict("k", verdict)
    assert proof.load_verdict("k") == verdict
    proof.forget_verdict("k")
    assert proof.load_verdict("k") is None


def test_a_note_of_accelerators_that_cannot_be_written(machine: Machine, lab: Any) -> None:
    (lab.directory / "home" / "cache" / "accelerators.json" / "full").mkdir(parents=True)
    lifecycle.start(machine)
    assert machine.status == "running"


# -- keepers and QEMUs that are not ours any more ------------------------------------------------


def test_pids_that_are_other_processes_now(machine: Machine, stranger: subprocess.Popen[bytes]) -> None:
    address = ("unix", str(machine.file("docker.sock")), "")
    for status in ("running", "starting"):
        machine.write_state(KeeperState(status, stranger.pid, "1", address, qemu_pid=os.getpid(), qemu_mark="1"))
        assert machine.status == "stopped"
        assert machine.endpoint() is None
        assert not lifecycle.stop(machine)
        machine.write_state(KeeperState(status, os.getpid(), "1", address, qemu_pid=stranger.pid, qemu_mark="1"))
    lifecycle.start(machine)
    assert stranger.poll() is None


def test_a_qemu_whose_keeper_was_killed_is_ended(machine: Machine, stranger: subprocess.Popen[bytes]) -> None:
    qemu = {"qemu_pid": stranger.pid, "qemu_mark": start_mark(stranger.pid)}
    machine.write_state(KeeperState("running", 0, "1", **qemu))
    assert not lifecycle.stop(machine)
    assert stranger.wait(30)
    assert machine.read_state() is None


@pytest.mark.parametrize("loss", ["socket", "torn address", "all"])
def test_a_machine_whose_control_socket_was_lost_stops(machine: Machine, loss: str) -> None:
    lifecycle.start(machine)
    before = state(machine)
    address = machine.file("control.json")
    match loss:
        case "socket":
            (machine.sockets / "control.sock").unlink()
        case "torn address":
            address.write_bytes(address.read_bytes()[:9])
        case "all":
            for name in SOCKETS:
                (machine.sockets / name).unlink()
            address.unlink()
    assert lifecycle.stop(machine, 5)
    assert not is_alive(before.pid, before.mark)
    assert not is_alive(before.qemu_pid, before.qemu_mark)
    assert machine.status == "stopped"


# -- keys and settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "start"), [("host_key", b"-----BEGIN"), ("machine.json", b'{"name": "def')])
def test_a_torn_file_is_named(machine: Machine, name: str, start: bytes) -> None:
    ensure_keys(machine.directory)
    machine.file(name).write_bytes(start)
    with pytest.raises(ConfigError) as caught:
        lifecycle.start(machine)
    assert str(machine.file(name)) in caught.value.message
    assert caught.value.hint
    assert machine.status == "stopped"


def test_a_name_that_is_taken_by_something_else(lab: Any) -> None:
    directory = lab.directory / "home" / "machines" / "taken"
    directory.mkdir(parents=True)
    (directory / "notes.txt").write_text("mine")
    with pytest.raises(HostError, match="'taken' exists already"):
        lifecycle.make("taken")
    assert (directory / "notes.txt").read_text() == "mine"


# -- full disks ----------------------------------------------------------------------------------


def full(descriptor: int, data: object) -> int:
    """What writing says on a full disk."""
    raise OSError(28, "No space left on device")


def test_a_full_disk_at_the_start_is_survived(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            lifecycle.start(machine)
    assert machine.status == "stopped"
    assert not list(machine.directory.glob(".*.tmp"))
    lifecycle.start(machine)


def test_a_full_disk_while_a_machine_is_made(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            lifecycle.make("big")
    assert list((lab.directory / "home" / "machines").iterdir()) == []
    lifecycle.make("big")
    assert get_machine("big").status == "stopped"
