"""The life of a machine with a QEMU that is not one: proof of accelerators, bad days, two commands at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from atoll.errors import BootError, DependencyMissing, HostError, MachineExists, MachineNotFound, MachineState
from atoll.machine import doctor, lifecycle, proof
from atoll.machine.endpoint import Endpoint
from atoll.machine.store import Machine, get_machine, list_machines
from atoll.system.processes import is_alive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake QEMU uses unix sockets")


def ask(endpoint: Endpoint, data: bytes) -> bytes:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(endpoint.address)
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    out = b""
    while piece := sock.recv(65536):
        out += piece
    sock.close()
    return out


def wait_until(condition: Callable[[], bool], deadline_s: float = 30) -> None:
    deadline, pause = time.monotonic() + deadline_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def state_of(name: str) -> dict[str, object]:
    return dict(json.loads(get_machine(name).file("keeper.json").read_text()))


@pytest.mark.usefixtures("lab")
def test_the_default_machine_is_made_and_started() -> None:
    said: list[str] = []
    endpoint = lifecycle.ensure_running("default", say=said.append)
    assert b"200 OK" in ask(endpoint, b"GET /_ping HTTP/1.1\r\n\r\n")
    assert lifecycle.ensure_running("default") == endpoint
    assert any("made machine default" in line for line in said)
    assert state_of("default")["accelerator"] == "kvm"


@pytest.mark.usefixtures("lab")
def test_a_stream_carries_much_and_half_closes() -> None:
    endpoint = lifecycle.ensure_running("default")
    data = os.urandom(2 << 20)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(endpoint.address)
    sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    sender.start()
    out = b""
    while piece := sock.recv(65536):
        out += piece
    sender.join()
    sock.close()
    assert out == data


def test_an_accelerator_that_aborts_is_passed_over_and_remembered(lab: Any) -> None:
    lab.behave(kvm="abort", tcg="ok")
    machine = lifecycle.make("default")
    lifecycle.start(machine)
    state = state_of("default")
    assert state["accelerator"] == "tcg"
    assert "failed to set MSR" in str(state["reason"])
    lifecycle.stop(machine)
    lab.behave(kvm="ok", tcg="ok")  # not asked again: the verdict stands
    lifecycle.start(machine)
    assert state_of("default")["accelerator"] == "tcg"


def test_an_accelerator_that_hangs_is_given_up(lab: Any) -> None:
    lab.behave(kvm="hang", tcg="ok")
    machine = lifecycle.make("default")
    machine.file("keeper.log").write_text("qemu-system-x86_64: a complaint of yesterday\n")
    lifecycle.start(machine)
    state = state_of("default")
    assert state["accelerator"] == "tcg"
    assert state["reason"] == "kvm: 7 s passed before the guest gives a sign of life"


def test_a_remembered_accelerator_that_fails_is_forgotten(lab: Any) -> None:
    machine = lifecycle.make("default")
    lifecycle.start(machine)
    lifecycle.stop(machine)
    lab.behave(kvm="abort", tcg="ok")
    with pytest.raises(BootError):
        lifecycle.start(machine)
    lifecycle.start(machine)
    assert state_of("default")["accelerator"] == "tcg"


def test_nothing_works(lab: Any) -> None:
    lab.behave(kvm="abort", tcg="abort")
    with pytest.raises(BootError, match="did not start") as caught:
        lifecycle.ensure_running("default")
    assert "atoll doctor" in caught.value.hint
    assert get_machine("default").status == "failed"
    lab.behave(kvm="ok", tcg="ok")
    lifecycle.ensure_running("default")


@pytest.mark.usefixtures("lab")
def test_a_killed_qemu_ends_clients_at_once_and_the_next_start_recovers() -> None:
    endpoint = lifecycle.ensure_running("default")
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(endpoint.address)
    sock.sendall(b"open for ever")
    assert sock.recv(100) == b"open for ever"
    os.kill(int(str(state_of("default")["qemu_pid"])), signal.SIGKILL)
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(100) == b""
    sock.close()
    keeper = Machine(get_machine("default").directory)
    wait_until(lambda: keeper.status == "stopped")  # clients are told a moment before
    for _ in range(2):
        lifecycle.ensure_running("default")
    assert keeper.status == "running"


@pytest.mark.usefixtures("lab")
def test_a_killed_keeper_leaves_no_qemu_behind() -> None:
    lifecycle.ensure_running("default")
    state = state_of("default")
    os.kill(int(str(state["pid"])), signal.SIGKILL)
    machine = get_machine("default")
    deadline = threading.Event()
    while machine.endpoint() is not None and not deadline.wait(0.02):
        pass
    assert machine.status == "stopped"
    lifecycle.start(machine)
    assert not is_alive(int(str(state["qemu_pid"])), str(state["qemu_mark"]))
    assert machine.status == "running"


def test_an_emulated_guest_that_dies_is_booted_once_more(lab: Any) -> None:
    lab.behave(kvm="abort", tcg="panic-once")
    machine = lifecycle.make("default")
    lifecycle.start(machine)
    assert machine.status == "running"
    assert "the last line of the console" in machine.file("keeper.log").read_text()


def test_a_machine_is_stopped_while_it_starts(lab: Any) -> None:
    lab.behave(kvm="abort", tcg="hang")
    machine = lifecycle.make("default")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(lifecycle.start, machine)
        wait_until(lambda: (state := machine.read_state()) is not None and state.qemu_pid != 0)
        state = machine.read_state()
        assert state is not None
        assert lifecycle.stop(machine, 30)
        with pytest.raises(BootError, match="was stopped while it was starting"):
            starting.result(30)
    assert machine.status == "stopped"
    assert not is_alive(state.pid, state.mark)
    assert not is_alive(state.qemu_pid, state.qemu_mark)


def test_a_keeper_killed_while_it_starts_leaves_no_qemu_behind(lab: Any) -> None:
    lab.behave(kvm="abort", tcg="hang")
    machine = lifecycle.make("default")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(lifecycle.start, machine)
        wait_until(lambda: (state := machine.read_state()) is not None and state.qemu_pid != 0)
        state = machine.read_state()
        assert state is not None
        os.kill(state.pid, signal.SIGKILL)
        with pytest.raises(BootError, match="the keeper of machine default ended"):
            starting.result(30)
    lab.behave(kvm="abort", tcg="ok")
    lifecycle.start(machine)
    assert not is_alive(state.qemu_pid, state.qemu_mark)


@pytest.mark.usefixtures("lab")
def test_two_commands_start_the_same_machine() -> None:
    lifecycle.make("default")
    found: list[Endpoint] = []
    threads = [threading.Thread(target=lambda: found.append(lifecycle.ensure_running("default"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


@pytest.mark.usefixtures("lab")
def test_machines_stand_side_by_side() -> None:
    lifecycle.make("one")
    lifecycle.make("two")
    assert lifecycle.ensure_running("one") != lifecycle.ensure_running("two")
    with pytest.raises(MachineState, match="is running"):
        lifecycle.remove(get_machine("one"), force=False)
    lifecycle.remove(get_machine("one"), force=True)
    assert [machine.name for machine in list_machines()] == ["two"]


@pytest.mark.usefixtures("lab")
def test_names() -> None:
    lifecycle.make("taken")
    with pytest.raises(MachineExists):
        lifecycle.make("taken")
    with pytest.raises(MachineNotFound, match="there is no machine 'nosuch'"):
        lifecycle.ensure_running("nosuch")
    for name in ("UPPER", "../x", "", "a" * 60, "-x"):
        with pytest.raises(HostError, match="invalid machine name"):
            lifecycle.make(name)


def test_no_qemu(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_QEMU", str(lab.directory / "nowhere"))
    with pytest.raises(DependencyMissing):
        lifecycle.ensure_running("default")
    finding = next(f for f in doctor.examine() if f.name == "qemu")
    assert finding.status == doctor.FAIL
    assert finding.hint


@pytest.mark.usefixtures("lab")
def test_settings_nobody_knows_are_refused() -> None:
    machine = lifecycle.make("default")
    raw = json.loads(machine.file("machine.json").read_text())
    machine.file("machine.json").write_text(json.dumps({**raw, "colour": "blue"}))
    with pytest.raises(HostError, match="unknown key 'colour'"):
        lifecycle.start(machine)


def test_attempts() -> None:
    verdict = proof.Verdict("tcg", (("kvm", "aborts"),))
    assert proof.plan_attempts("auto", "amd64", "amd64", verdict) == (["tcg"], [("kvm", "aborts")])
    assert proof.plan_attempts("kvm", "amd64", "amd64", verdict) == (["kvm"], [])
    names, out = proof.plan_attempts("auto", "arm64", "amd64", None, "darwin")
    assert names == ["tcg"]
    assert out[0][0] == "hvf"
    assert "aborts" in verdict.reason


@pytest.mark.usefixtures("lab")
def test_two_first_commands_make_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other command makes the machine between our look and our own attempt."""
    lifecycle.make("default")
    monkeypatch.setattr(lifecycle, "find_machine", lambda name: None)
    said: list[str] = []
    lifecycle.ensure_running("default", say=said.append)
    assert get_machine("default").status == "running"
    assert not any("made" in line for line in said)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("notes", [None, b'{"status": "running", "of": "another version"}', b"{"])
def test_a_keeper_with_unknown_notes_is_ended(notes: bytes | None) -> None:
    """A machine that runs since before an upgrade: its QEMU must not be left alone with the disk."""
    for action in ("stop", "start", "remove"):
        lifecycle.ensure_running("default")
        machine = get_machine("default")
        state = machine.read_state()
        assert state is not None
        if notes is None:
            machine.clear_state()
        else:
            machine.file("keeper.json").write_bytes(notes)
        if action == "stop":
            assert lifecycle.stop(machine, 5)
        elif action == "start":
            lifecycle.start(machine)
        else:
            lifecycle.remove(machine, force=True)
        assert not is_alive(state.pid, state.mark)
        assert not is_alive(state.qemu_pid, state.qemu_mark)


@pytest.mark.usefixtures("lab")
def test_a_start_waits_for_the_keeper_before_it_to_end() -> None:
    lifecycle.ensure_running("default")
    machine = get_machine("default")
    for _ in range(3):
        state = machine.read_state()
        assert state is not None
        os.kill(state.qemu_pid, signal.SIGKILL)
        wait_until(lambda: machine.read_state() is None)
        lifecycle.start(machine)
        assert machine.status == "running"
