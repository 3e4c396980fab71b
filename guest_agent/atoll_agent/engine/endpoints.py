"""Which networks a new container is on."""

from __future__ import annotations

from typing import Any

from ..api.errors import conflict, invalid
from ..network.networks import Networks
from ..network.records import BRIDGE
from ..network.requests import parse_endpoint


def plan_endpoints(host: dict[str, Any], asked: dict[str, Any], networks: Networks) -> dict[str, Any]:
    """The networks of a new container by name, the one of its network mode first.

    Raises:
        AgentError: no such network, or a combination that Docker refuses.
    """
    mode = str(host["NetworkMode"])
    if mode.startswith("container:"):
        if asked:
            raise invalid("conflicting options: container type network can't be used with network settings")
        return {}
    primary = networks.get(mode)
    named = {networks.get(name).name: settings or {} for name, settings in asked.items()}
    if primary.driver != BRIDGE and set(named) - {primary.name}:
        raise conflict(f"container cannot be connected to {primary.name} network and others at once")
    ordered = {primary.name: named.pop(primary.name, {}), **named}
    for name, settings in ordered.items():
        request = parse_endpoint(settings)
        if request.aliases and not networks.get(name).names_resolve:
            raise invalid("network-scoped alias is supported only for containers in user defined networks")
    return ordered
