"""The seed: what a machine is told at boot.

It travels as `/atoll/seed.json` in a small cpio archive appended to the initramfs, so nothing is rebuilt when it
changes and no metadata service is needed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

SERVE = "serve"
COMPILE = "compile"

SEED_PATH = "atoll/seed.json"
"""Where the seed lies in the initramfs; init moves `/atoll` to `/run/atoll` before the root changes."""

WIRE_PORT = "atoll.wire"
"""Name of the virtio-serial port that carries `api.mux`."""

BYTECODE_PORT = "atoll.bytecode"
"""Name of the virtio-serial port on which a machine booted in mode `compile` writes its bytecode as a tar archive."""

DATA_SERIAL = "atoll-data"
"""virtio-blk serial number of the data disk; the root disk is `atoll-root`."""

ROOT_SERIAL = "atoll-root"


@dataclass(frozen=True)
class NetworkSeed:
    """The machine's own interface, static because QEMU's user network is.

    Attributes:
        address: IPv4 address in CIDR form.
        gateway: IPv4 address of the default gateway.
        dns: IPv4 address of the resolver.
    """

    address: str = "10.0.2.15/24"
    gateway: str = "10.0.2.2"
    dns: str = "10.0.2.3"


@dataclass(frozen=True)
class Seed:
    """Everything that differs between two boots of the same image.

    Attributes:
        machine: name of the machine, for people.
        hostname: the guest's host name.
        mode: `serve` (run the engine) or `compile` (write bytecode to `BYTECODE_PORT`, then power off).
        time_ns: the host's clock when the seed was written, nanoseconds since 1970.
        ssh_host_key: private ed25519 host key, base64 of the 64 bytes seed+public; empty for no SSH.
        authorized_keys: lines for root's authorized_keys.
        network: the machine's interface; None for a machine without one.
        accelerator: what QEMU runs the guest with (`kvm`, `hvf`, `whpx`, `tcg`), for `info`.
    """

    machine: str
    hostname: str
    mode: str = SERVE
    time_ns: int = 0
    ssh_host_key: str = ""
    authorized_keys: tuple[str, ...] = ()
    network: NetworkSeed | None = None
    accelerator: str = ""

    def to_json(self) -> str:
        """Format for `SEED_PATH`."""
        return json.dumps(asdict(self), sort_keys=True)


def parse_seed(text: str) -> Seed:
    """Parse what `Seed.to_json` wrote.

    Raises:
        ValueError: not a seed, or of another shape.
    """
    try:
        raw = json.loads(text)
        raw["authorized_keys"] = tuple(raw.get("authorized_keys", ()))
        if raw.get("network") is not None:
            raw["network"] = NetworkSeed(**raw["network"])
        return Seed(**raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a seed: {error}") from error
