"""Networks on disk: a file each, `networks/ID.json`. What a network is; nothing here touches an interface."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..disk import write_json

log = logging.getLogger(__name__)

BRIDGE, HOST, NONE = "bridge", "host", "null"
BRIDGE_OPTION = "com.docker.network.bridge."
MTU_OPTION = "com.docker.network.driver.mtu"


@dataclass(frozen=True)
class Pool:
    """One subnet of a network.

    Attributes:
        subnet: in CIDR form.
        gateway: the bridge's own address; "" for the first one.
        within: part of the subnet that addresses are chosen from; "" for all of it.
        auxiliary: names and addresses that nobody gets.
        chosen: whether the engine chose the subnet.
    """

    subnet: str
    gateway: str = ""
    within: str = ""
    auxiliary: dict[str, str] = field(default_factory=dict)
    chosen: bool = False

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.subnet else 4


@dataclass(frozen=True)
class Network:
    """A network as it was asked for, with its subnets decided.

    Attributes:
        id: 64 hexadecimal digits.
        driver: `bridge`, `host` or `null`.
        pools: its subnets; none for host and null.
        ipv4: whether its containers get addresses of IPv4.
        ipv6: the same of IPv6.
        internal: nothing goes out.
        attachable: told back as asked for; it means something in swarms only.
        options: of the driver.
        interface: name of the bridge.
        ipam_options: told back as asked for.
    """

    id: str
    name: str
    driver: str
    created_ns: int
    pools: tuple[Pool, ...] = ()
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    interface: str = ""
    ipv4: bool = True
    ipam_options: dict[str, str] | None = None

    @property
    def predefined(self) -> bool:
        """Whether the engine brought it along."""
        return self.name in ("bridge", "host", "none")

    @property
    def names_resolve(self) -> bool:
        """Whether containers find each other by name: not on the default bridge, as with Docker."""
        return self.driver == BRIDGE and not self.predefined

    @property
    def talks(self) -> bool:
        """Whether its containers may talk to each other."""
        return self.options.get(f"{BRIDGE_OPTION}enable_icc", "true") != "false"

    @property
    def masquerades(self) -> bool:
        """Whether what goes out takes the machine's address."""
        return self.options.get(f"{BRIDGE_OPTION}enable_ip_masquerade", "true") != "false"

    @property
    def mtu(self) -> int:
        """In bytes; 0 for the kernel's own."""
        return int(self.options.get(MTU_OPTION) or 0)


class NetworkStore:
    """All networks of one engine on disk."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root / "networks"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def save(self, network: Network) -> None:
        """Write a network; it is on disk when this returns."""
        write_json(self._root / f"{network.id}.json", asdict(network))

    def forget(self, network: Network) -> None:
        """Remove a network."""
        (self._root / f"{network.id}.json").unlink(missing_ok=True)

    def load_all(self) -> list[Network]:
        """Read every network; one that cannot be read is set aside and reported."""
        found = []
        for path in sorted(self._root.glob("*.json")):
            try:
                raw = json.loads(path.read_bytes())
                raw["pools"] = tuple(Pool(**pool) for pool in raw["pools"])
                found.append(Network(**raw))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("network record %s cannot be read (%r); set aside", path.name, error)
                path.rename(path.with_suffix(".broken"))
        return found
