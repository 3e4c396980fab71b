"""Links of old (`--link web:alias`): lines in /etc/hosts and variables on the default bridge, one way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..api.errors import conflict, invalid, not_found
from .ports import parse_exposed
from .records import Container

_NOT_IN_NAMES = re.compile(r"[^A-Z0-9_]")
_NOT_PASSED_ON = ("HOME", "HOSTNAME", "PATH", "TERM")


def parse_link(text: str) -> tuple[str, str]:
    """`name:alias` or `name` as (name, alias).

    Raises:
        AgentError: malformed.
    """
    name, _, alias = text.removeprefix("/").partition(":")
    alias = alias.rpartition("/")[2] or name
    if not name or ":" in alias:
        raise invalid(f"bad format for links: {text[:80]}")
    return name, alias


def describe_links(container: Container) -> list[str] | None:
    """`HostConfig.Links` as inspect shows them: `/target:/container/alias`."""
    found = [parse_link(text) for text in container.host_config.get("Links") or []]
    return [f"/{name}:/{container.name}/{alias}" for name, alias in found] or None


def link_names(container: Container, others: Iterable[Container]) -> list[str]:
    """What others call a container that they link to: `/other/alias`."""
    found = []
    for other in others:
        for text in other.host_config.get("Links") or ():
            name, alias = parse_link(text)
            if name in (container.name, container.id, container.id[:12]):
                found.append(f"/{other.name}/{alias}")
    return found


def without_link(container: Container, alias: str) -> list[str]:
    """A container's links but the one of that name.

    Raises:
        AgentError: it has no such link.
    """
    links = list(container.host_config.get("Links") or [])
    kept = [text for text in links if parse_link(text)[1] != alias]
    if kept == links:
        raise not_found(f"Could not get parent for /{container.name}/{alias}")
    return kept


def check_running(other: Container, alias: str, container: Container) -> None:
    """Raise unless a linked container runs."""
    if not other.running:
        raise conflict(f"Cannot link to a non running container: /{other.name} AS /{container.name}/{alias}")


def plan_hosts(linked: list[tuple[Container, str]]) -> list[str]:
    """Lines of /etc/hosts for containers and their aliases."""
    lines = []
    for other, alias in linked:
        address = address_of(other)
        if address:
            names = dict.fromkeys((alias, other.id[:12], other.name))
            lines.append(f"{address}\t{' '.join(names)}\n")
    return lines


def address_of(container: Container) -> str:
    """A container's IPv4 address; "" while it has none."""
    return next((a.ipv4 for a in container.state.attachments if a.ipv4), "")


def plan_variables(linked: list[tuple[Container, str]], name: str) -> list[str]:
    """Variables that tell where the linked containers' exposed ports are.

    Arguments:
        name: of the container that gets them.
    """
    found = []
    for other, alias in linked:
        prefix = _NOT_IN_NAMES.sub("_", alias.upper())
        found.append(f"{prefix}_NAME=/{name}/{alias}")
        ports = sorted(_exposed(other.config))
        address = address_of(other)
        if ports and address:
            number, protocol = ports[0]
            found.append(f"{prefix}_PORT={protocol}://{address}:{number}")
        for number, protocol in ports if address else ():
            base = f"{prefix}_PORT_{number}_{protocol.upper()}"
            found += [
                f"{base}={protocol}://{address}:{number}",
                f"{base}_ADDR={address}",
                f"{base}_PORT={number}",
                f"{base}_PROTO={protocol}",
            ]
        for item in other.config.get("Env") or []:
            key, equals, value = item.partition("=")
            if equals and key not in _NOT_PASSED_ON:
                found.append(f"{prefix}_ENV_{key}={value}")
    return found


def _exposed(config: dict[str, Any]) -> list[tuple[int, str]]:
    found = []
    for text in config.get("ExposedPorts") or {}:
        protocol, first, last = parse_exposed(text)
        found += [(number, protocol) for number in range(first, last + 1)]
    return found
