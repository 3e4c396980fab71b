"""Published ports of a container: reading what was asked for, and telling what there is. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from ..api.errors import invalid
from ..network.firewall import Port

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORTS = 65536


@dataclass(frozen=True)
class Binding:
    """One port that shall be published.

    Attributes:
        protocol: `tcp`, `udp` or `sctp`.
        container_port: inside.
        address: of the host; "" for the usual one.
        first: lowest port of the host that will do; 0 for any free one.
        last: highest.
    """

    protocol: str
    container_port: int
    address: str = ""
    first: int = 0
    last: int = 0


def parse_exposed(text: str) -> tuple[str, int, int]:
    """`80/tcp`, `80` or `8000-8010/udp` as (protocol, first, last).

    Raises:
        AgentError: malformed.
    """
    range_, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise invalid(f"invalid proto: {protocol[:20]}")
    first, last = _parse_range(range_, text)
    if not first:
        raise invalid(f"invalid port: {text[:40]!r}")
    return protocol, first, last


def _parse_range(text: str, whole: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in ([low, high] if dash else [low])):
        raise invalid(f"invalid port specification: {whole[:40]!r}")
    first, last = int(low), int(high if dash else low)
    if first > last or last > 65535:
        raise invalid(f"invalid port specification: {whole[:40]!r}")
    return first, last


def plan_bindings(config: dict[str, Any], host: dict[str, Any]) -> list[Binding]:
    """What PortBindings and PublishAllPorts ask for.

    Raises:
        AgentError: malformed.
    """
    asked = host.get("PortBindings") or {}
    found: list[Binding] = []
    for text, places in asked.items():
        protocol, first, last = parse_exposed(text)
        if places is None:
            places = []
        if not isinstance(places, list) or not all(isinstance(place, dict) for place in places):
            raise invalid(f"invalid port binding of {text[:40]}: a list of objects is expected")
        for offset in range(last - first + 1):
            found += [_plan_place(protocol, first + offset, offset, last - first, place) for place in places or [{}]]
    if host.get("PublishAllPorts"):
        taken = {(binding.protocol, binding.container_port) for binding in found}
        for text in config.get("ExposedPorts") or {}:
            protocol, first, last = parse_exposed(text)
            found += [Binding(protocol, port) for port in range(first, last + 1) if (protocol, port) not in taken]
    if len(found) > MAX_PORTS:
        raise invalid("too many published ports")
    return found


def _plan_place(protocol: str, port: int, offset: int, width: int, place: dict[str, Any]) -> Binding:
    address = str(place.get("HostIp") or "")
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise invalid(f"invalid IP address: {address[:60]}") from None
    text = str(place.get("HostPort") or "")
    first, last = _parse_range(text, text) if text else (0, 0)
    if width and last - first == width:  # a range onto a range of the same length: port by port
        first = last = first + offset
    return Binding(protocol, port, address, first, last)


def describe_ports(config: dict[str, Any], ports: list[Port]) -> dict[str, Any]:
    """`NetworkSettings.Ports` of a running container."""
    found: dict[str, Any] = {}
    for text in config.get("ExposedPorts") or {}:
        protocol, first, last = parse_exposed(text)
        for number in range(first, last + 1):
            found[f"{number}/{protocol}"] = None
    for port in ports:
        places = found.setdefault(f"{port.target_port}/{port.protocol}", None) or []
        found[f"{port.target_port}/{port.protocol}"] = places
        places += [{"HostIp": address, "HostPort": str(port.port)} for address in _addresses(port)]
    return found


def describe_rows(config: dict[str, Any], ports: list[Port]) -> list[dict[str, Any]]:
    """`Ports` of a container's row in a list."""
    rows: list[dict[str, Any]] = []
    published = {(port.target_port, port.protocol) for port in ports}
    for text in config.get("ExposedPorts") or {}:
        protocol, first, last = parse_exposed(text)
        numbers = [number for number in range(first, last + 1) if (number, protocol) not in published]
        rows += [{"PrivatePort": number, "Type": protocol} for number in numbers]
    for port in ports:
        rows += [
            {"IP": address, "PrivatePort": port.target_port, "PublicPort": port.port, "Type": port.protocol}
            for address in _addresses(port)
        ]
    return rows


def _addresses(port: Port) -> list[str]:
    return [port.address] if port.address else ["0.0.0.0", "::"]
