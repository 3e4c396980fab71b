"""The default bridge: made when the first container needs it, with its addresses and its NAT."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from ipaddress import IPv4Interface
from pathlib import Path

from ..api.errors import AgentError, Kind
from ..linux import links
from ..linux.netlink import Netlink
from ..runtime.spec import NetworkSpec
from . import firewall
from .addresses import AddressPool, choose_subnet, mac_of

CANDIDATES = [f"172.{n}.0.0/16" for n in range(17, 32)] + ["192.168.224.0/20", "10.213.0.0/16"]


class BridgeNetwork:
    """One bridge with NAT. Thread-safe.

    Arguments:
        name: interface name.
        load_modules: called once before the first use of the kernel's bridge and firewall.
    """

    def __init__(self, name: str, load_modules: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._load_modules = load_modules
        self._lock = threading.Lock()
        self._pool: AddressPool | None = None
        self._claimed: list[str] = []

    @property
    def gateway(self) -> str:
        """The bridge's own address; "" while there is no bridge."""
        return self._pool.gateway if self._pool else ""

    @property
    def subnet(self) -> str:
        """The subnet in CIDR form; "" while there is no bridge."""
        return str(self._pool.network) if self._pool else ""

    @property
    def prefix(self) -> int:
        """Bits of the subnet's network part."""
        return self._pool.prefix if self._pool else 0

    def ensure(self) -> AddressPool:
        """Make the bridge, unless it is there.

        Raises:
            AgentError: the kernel refused.
        """
        with self._lock:
            if self._pool is None:
                try:
                    self._pool = self._make()
                except (OSError, LookupError) as error:
                    raise AgentError(Kind.SYSTEM, f"cannot make the network {self.name}: {error}") from error
                for address in self._claimed:
                    self._pool.claim(address)
            return self._pool

    def _make(self) -> AddressPool:
        self._load_modules()
        with Netlink() as netlink:
            pool = self._find_existing(netlink) or self._make_bridge(netlink)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        firewall.apply_table(firewall.plan_table(self.name, self.name, str(pool.network)))
        return pool

    def _find_existing(self, netlink: Netlink) -> AddressPool | None:
        """A bridge that an agent before this one made; containers may be on it."""
        index = links.find_link(netlink, self.name)
        if index is None:
            return None
        own = links.list_addresses(netlink, index)
        if own:
            return AddressPool(str(IPv4Interface(own[0]).network))
        links.delete_link(netlink, self.name)
        return None

    def _make_bridge(self, netlink: Netlink) -> AddressPool:
        pool = AddressPool(choose_subnet(CANDIDATES, links.list_addresses(netlink)))
        links.create_bridge(netlink, self.name, bytes.fromhex(mac_of(pool.gateway).replace(":", "")))
        links.add_address(netlink, socket.if_nametoindex(self.name), f"{pool.gateway}/{pool.prefix}")
        return pool

    def claim(self, address: str) -> None:
        """A container that runs since before the agent's restart has this address; the bridge is there."""
        with self._lock:
            self._claimed.append(address)
            if self._pool:
                self._pool.claim(address)

    def plan_interface(self, container_id: str) -> NetworkSpec:
        """An address and an interface for a container; give the address back with `release`."""
        pool = self.ensure()
        with self._lock:
            try:
                address = pool.take()
            except LookupError as error:
                raise AgentError(Kind.SYSTEM, f"network {self.name}: {error}") from error
        return {
            "bridge": self.name,
            "host_name": f"veth{container_id[:11]}",
            "name": "eth0",
            "address": f"{address}/{pool.prefix}",
            "gateway": pool.gateway,
            "mac": mac_of(address),
            "mtu": 0,
        }

    def release(self, address: str) -> None:
        """The container that had this address is gone."""
        with self._lock:
            if self._pool and address:
                self._pool.give_back(address)

    def remove(self) -> None:
        """Take bridge and firewall table away (the native driver's end)."""
        with self._lock:
            if self._pool is None:
                return
            self._pool = None
            with Netlink() as netlink:
                links.delete_link(netlink, self.name)
            firewall.remove_table(self.name)
