"""Handing out a subnet's addresses. Pure: the owner says which are taken."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network


class AddressPool:
    """Addresses of one subnet, IPv4 or IPv6. Each is given out again as late as possible.

    Arguments:
        subnet: in CIDR form.
        gateway: the bridge's own address; the first of the subnet without.
        within: only addresses of this part of the subnet are chosen; others may be asked for by name.
        reserved: addresses that somebody outside uses.

    Raises:
        ValueError: not a subnet, or not a part of it.
    """

    def __init__(self, subnet: str, *, gateway: str = "", within: str = "", reserved: Iterable[str] = ()) -> None:
        self.network: IPv4Network | IPv6Network = ipaddress.ip_network(subnet)
        self._base = int(self.network.network_address)
        self.gateway = gateway or first_address(subnet)
        part = ipaddress.ip_network(within) if within else self.network
        self._first = int(part.network_address) - self._base
        self._count = part.num_addresses
        if not 0 <= self._first <= self._first + self._count <= self.network.num_addresses:
            raise ValueError(f"{within} is not a part of {subnet}")
        self._taken: set[int] = set()
        for address in (self.gateway, *reserved):
            if self.contains(address):
                self.claim(address)
        self._held = frozenset(self._taken)
        self._last = self._first

    @property
    def prefix(self) -> int:
        """Bits of the network part."""
        return self.network.prefixlen

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.network.version

    def contains(self, address: str) -> bool:
        """Whether an address is one of this subnet's."""
        return ipaddress.ip_address(address) in self.network

    def take(self) -> str:
        """A free address.

        Raises:
            LookupError: none is free.
        """
        # The subnet's own address is nobody's, nor is an IPv4 subnet's last one.
        never = {0, self.network.num_addresses - 1} if self.version == 4 else {0}
        for step in range(1, min(self._count, len(self._taken) + len(never) + 1) + 1):
            offset = self._first + (self._last - self._first + step) % self._count
            if offset not in self._taken and offset not in never:
                self._taken.add(offset)
                self._last = offset
                return str(self.network.network_address + offset)
        raise LookupError(f"no free address in {self.network}")

    def claim(self, address: str) -> bool:
        """Take a certain address; False when it is taken already.

        Raises:
            ValueError: not an address of this subnet.
        """
        offset = int(ipaddress.ip_address(address)) - self._base
        if not self.contains(address):
            raise ValueError(f"{address} is not in {self.network}")
        free = offset not in self._taken
        self._taken.add(offset)
        return free

    def give_back(self, address: str) -> None:
        """An address is free again."""
        offset = int(ipaddress.ip_address(address)) - self._base
        if offset not in self._held:
            self._taken.discard(offset)


def first_address(subnet: str) -> str:
    """The first address of a subnet, which is the gateway's unless somebody says otherwise."""
    return str(ipaddress.ip_network(subnet).network_address + 1)


def contains(subnet: str, address: str) -> bool:
    """Whether an address is one of a subnet's."""
    return ipaddress.ip_address(address) in ipaddress.ip_network(subnet)


def mac_of(address: str) -> str:
    """Docker's hardware address for an IPv4 address: 02:42 and the four bytes; without one they are random."""
    tail = ipaddress.IPv4Address(address).packed if address else os.urandom(4)
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *tail))


def choose_subnet(candidates: Iterable[str], in_use: Iterable[str]) -> str:
    """The first candidate that overlaps none of this host's own networks.

    Raises:
        LookupError: all do.
    """
    networks = [ipaddress.ip_interface(text).network for text in in_use]
    for candidate in candidates:
        if not overlaps(candidate, [str(network) for network in networks]):
            return candidate
    raise LookupError("every subnet for containers overlaps a network of this host")


def overlaps(subnet: str, others: Iterable[str]) -> bool:
    """Whether a subnet shares an address with one of others."""
    network = ipaddress.ip_network(subnet)
    for text in others:
        other = ipaddress.ip_network(text, strict=False)
        if isinstance(network, IPv4Network) and isinstance(other, IPv4Network) and network.overlaps(other):
            return True
        if isinstance(network, IPv6Network) and isinstance(other, IPv6Network) and network.overlaps(other):
            return True
    return False
