"""The register of networks: making and removing them, and who has which address on them.

Three are always there, as with Docker: `bridge` (for containers that ask for nothing), `host` and `none`. What a
network is lies on disk (`records`); which of its addresses are taken follows from the containers that run.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..api.errors import AgentError, Kind, conflict, invalid, not_found
from ..runtime.spec import InterfaceSpec
from . import firewall
from .addresses import AddressPool, choose_subnet, contains, mac_of, overlaps
from .bridge import SUBNETS, BridgeDriver, private_subnet
from .records import BRIDGE, BRIDGE_OPTION, HOST, NONE, Network, NetworkStore, Pool
from .requests import EndpointRequest, NetworkRequest

log = logging.getLogger(__name__)
Wanted = tuple[Network, EndpointRequest]


@dataclass
class Attachment:
    """A running container's place on a network; JSON in its state.

    Attributes:
        network: the network's id.
        endpoint: an id of its own, as Docker gives it.
        interface: inside the container; "" on host and none.
        host_name: the other end.
        ipv4: address without prefix.
        ipv6: the same.
        mac: hardware address.
        gateway: whether its way out leads here.
    """

    network: str
    endpoint: str
    interface: str = ""
    host_name: str = ""
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    gateway: bool = False


@dataclass
class _Entry:
    """A network with what is known of it only while the agent runs."""

    network: Network
    pools: list[AddressPool] = field(default_factory=list)
    up: bool = False


class Networks:
    """All networks of one engine. Thread-safe.

    Arguments:
        driver: carries out.
        interface: name of the default bridge.
    """

    def __init__(self, store: NetworkStore, driver: BridgeDriver, interface: str) -> None:
        self._store, self._driver = store, driver
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._ports: Callable[[], list[firewall.Port]] = list
        for network in store.load_all():
            self._entries[network.id] = _Entry(network, _pools_of(network))
        for name, kind in (("bridge", BRIDGE), ("host", HOST), ("none", NONE)):
            if self.find(name) is None:
                made = Network(
                    secrets.token_hex(32), name, kind, time.time_ns(), interface=interface if kind == BRIDGE else ""
                )
                store.save(made)
                self._entries[made.id] = _Entry(made)

    # -- finding -----------------------------------------------------------------------------

    def all(self) -> list[Network]:
        """Every network, oldest first."""
        with self._lock:
            return [entry.network for entry in sorted(self._entries.values(), key=lambda e: e.network.created_ns)]

    def find(self, name: str) -> Network | None:
        """By name or full id; None where there is none."""
        with self._lock:
            if name in self._entries:
                return self._entries[name].network
            plain = "bridge" if name == "default" else name
            return next((e.network for e in self._entries.values() if e.network.name == plain), None)

    def get(self, name: str) -> Network:
        """By name, id, or unambiguous beginning of an id.

        Raises:
            AgentError: none, or several.
        """
        found = self.find(name)
        if found:
            return found
        with self._lock:
            several = [e.network for id_, e in self._entries.items() if name and id_.startswith(name)]
        if len(several) > 1:
            raise invalid(f"network {name} is ambiguous ({len(several)} matches found on ID prefix)")
        if not several:
            raise not_found(f"network {name} not found")
        return several[0]

    # -- making and removing -----------------------------------------------------------------

    def create(self, request: NetworkRequest) -> Network:
        """Make a network and its bridge.

        Raises:
            AgentError: the name or a subnet is taken, or the kernel refused.
        """
        identity = secrets.token_hex(32)
        with self._lock:
            if self.find(request.name):
                raise conflict(f"network with name {request.name} already exists")
            self._check_subnets(request.pools)
            interface = request.options.get(f"{BRIDGE_OPTION}name") or f"br-{identity[:12]}"
            if any(entry.network.interface == interface for entry in self._entries.values()):
                raise AgentError(Kind.FORBIDDEN, f"bridge name {interface} is used by another network")
            network = Network(
                id=identity,
                name=request.name,
                driver=request.driver,
                created_ns=time.time_ns(),
                pools=request.pools,
                ipv4=request.ipv4,
                ipv6=request.ipv6,
                internal=request.internal,
                attachable=request.attachable,
                options=request.options,
                labels=request.labels,
                interface=interface,
                ipam_options=request.ipam_options,
            )
            entry = self._entries[identity] = _Entry(network)
            try:
                self._raise(entry)
                self._store.save(entry.network)
            except BaseException:
                del self._entries[identity]
                self._driver.remove_bridge(interface)
                raise
            return entry.network

    def _check_subnets(self, pools: Iterable[Pool]) -> None:
        taken = [pool.subnet for network in self.all() for pool in network.pools]
        for pool in pools:
            if overlaps(pool.subnet, taken):
                raise AgentError(
                    Kind.FORBIDDEN, "invalid pool request: Pool overlaps with other one on this address space"
                )
            taken.append(pool.subnet)

    def remove(self, network: Network, users: Iterable[str]) -> None:
        """Remove a network that no container is on.

        Raises:
            AgentError: predefined, or in use.
        """
        if network.predefined:
            raise AgentError(Kind.FORBIDDEN, f"{network.name} is a pre-defined network and cannot be removed")
        names = sorted(users)
        if names:
            raise AgentError(
                Kind.FORBIDDEN,
                f"error while removing network: network {network.name} has active endpoints "
                f"(name:{' name:'.join(names)})",
            )
        with self._lock:
            if self._entries.pop(network.id, None) is None:
                raise not_found(f"network {network.id} not found")
            self._store.forget(network)
            self._driver.remove_bridge(network.interface)
            self._write_firewall()

    # -- bridges -----------------------------------------------------------------------------

    def _raise(self, entry: _Entry) -> None:
        """Make a network's bridge, unless it is there; chooses subnets that are still open."""
        if entry.up or entry.network.driver != BRIDGE:
            return
        try:
            self._driver.prepare()
            settled = self._settle_subnets(entry.network)
            if settled != entry.network or not entry.pools:
                entry.network, entry.pools = settled, _pools_of(settled)
            self._driver.make_bridge(entry.network, entry.pools)
            entry.up = True
            self._write_firewall()
        except (OSError, LookupError, ValueError) as error:
            entry.up = False
            raise AgentError(Kind.SYSTEM, f"cannot make the network {entry.network.name}: {error}") from error

    def recover(self) -> None:
        """Take over the bridges that an agent before this one made."""
        with self._lock:
            for entry in self._entries.values():
                network = entry.network
                if network.driver == BRIDGE and network.pools and self._driver.has_bridge(network.interface):
                    try:
                        self._raise(entry)
                    except AgentError as error:
                        log.error("%s", error.message)

    def _settle_subnets(self, network: Network) -> Network:
        """With a subnet for each IP version that the network has: one that is open is chosen.

        A host may have moved into a subnet that we chose while we were away: that one is chosen anew.
        """
        taken = [] if self._driver.has_bridge(network.interface) else self._driver.addresses()
        pools = [pool for pool in network.pools if not (pool.chosen and overlaps(pool.subnet, taken))]
        have = {pool.version for pool in pools}
        if network.ipv4 and 4 not in have:
            ours = [pool.subnet for other in self.all() if other.id != network.id for pool in other.pools]
            pools.insert(0, Pool(choose_subnet(SUBNETS, [*self._driver.addresses(), *ours]), chosen=True))
        if network.ipv6 and 6 not in have:
            pools.append(Pool(private_subnet(), chosen=True))
        if tuple(pools) == network.pools:
            return network
        settled = dataclasses.replace(network, pools=tuple(pools))
        self._store.save(settled)
        return settled

    def _write_firewall(self) -> None:
        up = [entry.network for entry in self._entries.values() if entry.up]
        self._driver.write_firewall(
            [
                firewall.Bridge(
                    network.interface,
                    tuple(pool.subnet for pool in network.pools),
                    internal=network.internal,
                    masquerades=network.masquerades,
                )
                for network in up
            ],
            self._ports(),
        )

    def publish(self, ports: Callable[[], list[firewall.Port]]) -> None:
        """Say where to ask for the published ports that belong into the firewall."""
        self._ports = ports

    def refresh(self) -> None:
        """The published ports have changed."""
        with self._lock:
            self._write_firewall()

    def close(self) -> None:
        """Take bridges and firewall away (the native driver's end)."""
        with self._lock:
            up = [entry for entry in self._entries.values() if entry.up]
            for entry in up:
                entry.up = False
                self._driver.remove_bridge(entry.network.interface)
            if up:
                self._driver.remove_firewall()

    # -- containers --------------------------------------------------------------------------

    def gateway(self, network: Network, version: int = 4) -> tuple[str, int]:
        """Gateway and prefix length of a network; ("", 0) where it has none."""
        with self._lock:
            entry = self._entries.get(network.id)
            pool = next((p for p in entry.pools if p.version == version), None) if entry else None
        return (pool.gateway, pool.prefix) if pool else ("", 0)

    def attach(self, container_id: str, wanted: list[Wanted], mac: str = "", first: int = 0) -> list[Attachment]:
        """Give a container addresses; take them back with `release`.

        Arguments:
            mac: hardware address of the first interface, "" for one made of its address.
            first: number of the first interface.

        Raises:
            AgentError: an address that is taken or not to be had.
        """
        made: list[Attachment] = []
        with self._lock:
            try:
                for number, (network, request) in enumerate(wanted, first):
                    made.append(self._attach(container_id, network, request, number, mac if number == first else ""))
            except BaseException:
                self.release(made)
                raise
        return made

    def _attach(
        self, container_id: str, network: Network, request: EndpointRequest, number: int, mac: str
    ) -> Attachment:
        attachment = Attachment(network.id, secrets.token_hex(32))
        if network.driver != BRIDGE:
            return attachment
        entry = self._entries[network.id]
        self._raise(entry)
        _check_request(entry.network, request)
        try:
            for pool in entry.pools:
                asked = request.ipv4 if pool.version == 4 else request.ipv6
                have = attachment.ipv4 if pool.version == 4 else attachment.ipv6
                if have or (asked and not pool.contains(asked)):
                    continue
                address = _take(pool, asked)
                if pool.version == 4:
                    attachment.ipv4 = address
                else:
                    attachment.ipv6 = address
        except (LookupError, AgentError) as error:
            self.release([attachment])
            if isinstance(error, AgentError):
                raise
            raise AgentError(Kind.SYSTEM, f"network {network.name}: {error}") from error
        attachment.interface = f"eth{number}"
        attachment.host_name = f"veth{attachment.endpoint[:11]}"
        attachment.mac = request.mac or mac or mac_of(attachment.ipv4)
        return attachment

    def claim(self, attachments: Iterable[Attachment]) -> None:
        """A container that runs since before the agent's restart has these."""
        with self._lock:
            for attachment in attachments:
                entry = self._entries.get(attachment.network)
                for address in (attachment.ipv4, attachment.ipv6):
                    for pool in entry.pools if entry else []:
                        if address and pool.contains(address):
                            pool.claim(address)

    def release(self, attachments: Iterable[Attachment]) -> None:
        """The container that had these is gone."""
        with self._lock:
            for attachment in attachments:
                entry = self._entries.get(attachment.network)
                for address in (attachment.ipv4, attachment.ipv6):
                    for pool in entry.pools if entry else []:
                        if address and pool.contains(address):
                            pool.give_back(address)

    def plan_interface(self, attachment: Attachment) -> InterfaceSpec:
        """What the runtime makes of an attachment to a bridge."""
        with self._lock:
            entry = self._entries[attachment.network]
        addresses, gateways = [], []
        for pool in entry.pools:
            address = attachment.ipv4 if pool.version == 4 else attachment.ipv6
            if address and pool.contains(address):
                addresses.append(f"{address}/{pool.prefix}")
                if attachment.gateway and not entry.network.internal:
                    gateways.append(pool.gateway)
        return {
            "bridge": entry.network.interface,
            "host_name": attachment.host_name,
            "name": attachment.interface,
            "addresses": addresses,
            "gateways": gateways,
            "mac": attachment.mac,
            "mtu": entry.network.mtu,
            "isolated": not entry.network.talks,
        }


def choose_gateway(attachments: list[Attachment], wanted: list[Wanted]) -> None:
    """Mark the attachment that leads out: the highest priority, then the first that is not internal."""
    candidates = [
        (request.priority, -number, attachment)
        for number, (attachment, (network, request)) in enumerate(zip(attachments, wanted, strict=True))
        if network.driver == BRIDGE and not network.internal
    ]
    if candidates:
        max(candidates, key=lambda candidate: candidate[:2])[2].gateway = True


def _pools_of(network: Network) -> list[AddressPool]:
    return [
        AddressPool(p.subnet, gateway=p.gateway, within=p.within, reserved=p.auxiliary.values()) for p in network.pools
    ]


def _take(pool: AddressPool, asked: str) -> str:
    if not asked:
        return pool.take()
    if not pool.claim(asked):
        raise AgentError(Kind.FORBIDDEN, f"Address already in use: {asked}")
    return asked


def _check_request(network: Network, request: EndpointRequest) -> None:
    """Docker lets a container choose its address where the user chose the subnet."""
    for address in (request.ipv4, request.ipv6):
        if not address:
            continue
        if network.predefined:
            raise invalid("user specified IP address is supported on user defined networks only")
        configured = [pool for pool in network.pools if not pool.chosen]
        if not any(pool.version == (6 if ":" in address else 4) for pool in configured):
            raise invalid(
                "user specified IP address is supported only when connecting to networks with user configured subnets"
            )
        if not any(contains(pool.subnet, address) for pool in configured):
            raise invalid(f"no configured subnet contains IP address {address}")
