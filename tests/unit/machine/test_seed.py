"""What a machine is told at its boot."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from atoll.errors import ConfigError
from atoll.machine.seed import build_seed
from atoll.machine.store import Machine
from atoll.ssh.keys import read_host_seed
from atoll_agent.api.seed import parse_seed


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine's directory, with nothing in it yet."""
    (tmp_path / "lab").mkdir()
    return Machine(tmp_path / "lab")


def test_identity_stays_and_time_moves(machine: Machine) -> None:
    first, second = build_seed(machine), build_seed(machine, "kvm")
    assert (first.machine, first.hostname) == ("lab", "atoll-lab")
    assert base64.b64decode(first.ssh_host_key) == read_host_seed(machine.file("host_key"))
    assert first.authorized_keys == (machine.file("id_ed25519.pub").read_text().strip(),)
    assert first.ssh_host_key == second.ssh_host_key
    assert first.authorized_keys == second.authorized_keys
    assert first.time_ns <= second.time_ns
    assert (first.accelerator, second.accelerator) == ("", "kvm")


def test_it_is_the_same_after_the_wire(machine: Machine) -> None:
    seed = build_seed(machine)
    assert parse_seed(seed.to_json()) == seed


def test_the_users_private_key_is_not_in_it(machine: Machine) -> None:
    text = build_seed(machine).to_json()
    lines = machine.file("id_ed25519").read_text().splitlines()
    assert not [line for line in lines[1:-1] if line in text]


def test_a_damaged_host_key_is_named(machine: Machine) -> None:
    build_seed(machine)
    machine.file("host_key").write_text("x")
    with pytest.raises(ConfigError, match="host_key"):
        build_seed(machine)
