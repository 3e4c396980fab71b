"""Carrying networks out: bridges by netlink, the firewall by nf_tables, the kernel's switches for forwarding."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from ..linux import links
from ..linux.netlink import Netlink
from . import firewall
from .addresses import AddressPool, mac_of
from .records import Network

SUBNETS = [f"172.{n}.0.0/16" for n in range(17, 32)] + [f"192.168.{n}.0/20" for n in range(0, 256, 16)]
"""Docker's own choice, so that what people know of it holds."""

SETTINGS = Path("/proc/sys/net")


def private_subnet() -> str:
    """A random unique local IPv6 subnet (RFC 4193)."""
    digits = secrets.token_hex(7)
    return f"fd{digits[:2]}:{digits[2:6]}:{digits[6:10]}:{digits[10:14]}::/64"


class BridgeDriver:
    """The one place that touches the machine's own interfaces and firewall.

    Arguments:
        table: name of the firewall table.
        load_modules: called once before the first use of the kernel's bridge and firewall.
    """

    def __init__(self, table: str, load_modules: Callable[[], None] = lambda: None) -> None:
        self._table = table
        self._load_modules = load_modules
        self._prepared = False

    def prepare(self) -> None:
        """Have modules loaded and forwarding on.

        Raises:
            OSError: the kernel refused.
        """
        if not self._prepared:
            self._load_modules()
            (SETTINGS / "ipv4/ip_forward").write_text("1")
            self._prepared = True

    def addresses(self) -> list[str]:
        """All addresses of this machine, in CIDR form."""
        with Netlink() as netlink:
            return links.list_addresses(netlink)

    def has_bridge(self, name: str) -> bool:
        """Whether an interface of that name exists."""
        return links.find_link(name) is not None

    def make_bridge(self, network: Network, pools: Iterable[AddressPool]) -> None:
        """Make a network's bridge with its gateways' addresses; one that an agent before us made stays.

        Raises:
            OSError: the kernel refused.
        """
        name, pools = network.interface, list(pools)
        wanted = {f"{pool.gateway}/{pool.prefix}" for pool in pools}
        with Netlink() as netlink:
            if self.has_bridge(name):
                if wanted <= set(links.list_addresses(netlink, socket.if_nametoindex(name))):
                    return
                links.delete_link(netlink, name)  # of an engine with other subnets that did not end by itself
            own = next((mac_of(pool.gateway) for pool in pools if pool.version == 4), "")
            links.create_bridge(netlink, name, bytes.fromhex(own.replace(":", "")), network.mtu)
            if any(pool.version == 6 for pool in pools):
                (SETTINGS / f"ipv6/conf/{name}/disable_ipv6").write_text("0")
                (SETTINGS / "ipv6/conf/all/forwarding").write_text("1")
            index = socket.if_nametoindex(name)
            for pool in pools:
                links.add_address(netlink, index, f"{pool.gateway}/{pool.prefix}")

    def remove_bridge(self, name: str) -> None:
        """Remove a bridge; one that is not there is no error."""
        if name and self.has_bridge(name):
            with Netlink() as netlink:
                links.delete_link(netlink, name)

    def write_firewall(self, bridges: list[firewall.Bridge], ports: list[firewall.Port]) -> None:
        """Replace the firewall table.

        Raises:
            OSError: the kernel refused; the table is as it was.
        """
        if self._prepared:
            firewall.apply_table(firewall.plan_table(self._table, bridges, ports))

    def remove_firewall(self) -> None:
        """Remove the firewall table."""
        firewall.remove_table(self._table)
