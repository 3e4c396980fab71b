"""Handing out a subnet's addresses. Pure: the owner says which are taken."""

from __future__ import annotations

import ipaddress


class AddressPool:
    """Addresses of one IPv4 subnet; the first is the gateway's. Each is given out again as late as possible."""

    def __init__(self, subnet: str) -> None:
        self.network = ipaddress.IPv4Network(subnet)
        self.gateway = str(self.network.network_address + 1)
        self._taken: set[int] = {1}
        self._last = 1

    @property
    def prefix(self) -> int:
        """Bits of the network part."""
        return self.network.prefixlen

    def take(self) -> str:
        """A free address.

        Raises:
            LookupError: none is free.
        """
        count = self.network.num_addresses - 2
        for step in range(1, count + 1):
            offset = (self._last + step - 1) % count + 1
            if offset not in self._taken:
                self._taken.add(offset)
                self._last = offset
                return str(self.network.network_address + offset)
        raise LookupError(f"no free address in {self.network}")

    def claim(self, address: str) -> None:
        """Mark an address as taken (it is in use since before a restart)."""
        self._taken.add(int(ipaddress.IPv4Address(address)) - int(self.network.network_address))

    def give_back(self, address: str) -> None:
        """An address is free again."""
        offset = int(ipaddress.IPv4Address(address)) - int(self.network.network_address)
        if offset != 1:
            self._taken.discard(offset)


def mac_of(address: str) -> str:
    """Docker's hardware address for an IPv4 address: 02:42 and the four bytes."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *ipaddress.IPv4Address(address).packed))


def choose_subnet(candidates: list[str], in_use: list[str]) -> str:
    """The first candidate that overlaps none of this host's own networks.

    Raises:
        LookupError: all do.
    """
    networks = [ipaddress.IPv4Interface(text).network for text in in_use]
    for candidate in candidates:
        if not any(ipaddress.IPv4Network(candidate).overlaps(network) for network in networks):
            return candidate
    raise LookupError("every subnet for containers overlaps a network of this host")
