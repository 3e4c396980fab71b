"""A machine's identity and what it is told at boot: its SSH host key, the key that opens it, the host's time."""

from __future__ import annotations

import base64
import time

from atoll_agent.api.seed import NetworkSeed, Seed

from ..ssh.keys import HOST_KEY, USER_KEY, ensure_keys, read_host_seed
from .store import Machine


def build_seed(machine: Machine, accelerator: str = "") -> Seed:
    """The seed of a machine's next boot."""
    ensure_keys(machine.directory)
    public = machine.file(f"{USER_KEY}.pub").read_text().strip()
    host_key = base64.b64encode(read_host_seed(machine.file(HOST_KEY))).decode()
    return Seed(
        machine=machine.name,
        hostname=f"atoll-{machine.name}",
        time_ns=time.time_ns(),
        ssh_host_key=host_key,
        authorized_keys=(public,),
        network=NetworkSeed(),
        accelerator=accelerator,
    )
