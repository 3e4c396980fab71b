"""Networks by name or id."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...api.errors import AgentError, invalid
from ...network.addresses import first_address
from ...network.networks import Networks
from ...network.records import BRIDGE, BRIDGE_OPTION, Network
from ...network.requests import parse_network
from ...runtime.log_file import format_time
from ..containers import Containers
from ..events import Events
from ..filters import is_older, is_true, matches_labels
from ..networking import Networking

Json = dict[str, Any]
Filters = dict[str, list[str]]


class NetworkNoun:
    """Networks by name or id."""

    def __init__(self, networks: Networks, networking: Networking, containers: Containers, events: Events) -> None:
        self._networks, self._networking = networks, networking
        self._containers, self._events = containers, events

    def rows(self, filters: Filters) -> list[Json]:
        """Rows of a list."""
        return [self._describe(network) for network in self._networks.all() if self._matches(network, filters)]

    def details(self, name: str) -> Json:
        """Everything about one, with the containers that run on it."""
        network = self._networks.get(name)
        containers = {
            identity: {
                "Name": container.name,
                "EndpointID": attachment.endpoint,
                "MacAddress": attachment.mac,
                "IPv4Address": self._with_prefix(network, attachment.ipv4, 4),
                "IPv6Address": self._with_prefix(network, attachment.ipv6, 6),
            }
            for identity, (container, attachment) in self._networking.users(network).items()
        }
        return self._describe(network) | {"Containers": containers}

    def _with_prefix(self, network: Network, address: str, version: int) -> str:
        return f"{address}/{self._networks.gateway(network, version)[1]}" if address else ""

    def _describe(self, network: Network) -> Json:
        options = dict(network.options)
        if network.name == "bridge":
            options |= {
                f"{BRIDGE_OPTION}default_bridge": "true",
                f"{BRIDGE_OPTION}enable_icc": "true",
                f"{BRIDGE_OPTION}enable_ip_masquerade": "true",
                f"{BRIDGE_OPTION}host_binding_ipv4": "0.0.0.0",
                f"{BRIDGE_OPTION}name": network.interface,
            }
        pools = []
        for pool in network.pools:
            config: Json = {"Subnet": pool.subnet, "Gateway": pool.gateway or first_address(pool.subnet)}
            if pool.within:
                config["IPRange"] = pool.within
            if pool.auxiliary:
                config["AuxiliaryAddresses"] = pool.auxiliary
            pools.append(config)
        return {
            "Name": network.name,
            "Id": network.id,
            "Created": format_time(network.created_ns),
            "Scope": "local",
            "Driver": network.driver,
            "EnableIPv4": network.driver == BRIDGE and network.ipv4,
            "EnableIPv6": network.ipv6,
            "IPAM": {"Driver": "default", "Options": network.ipam_options, "Config": pools},
            "Internal": network.internal,
            "Attachable": network.attachable,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": options,
            "Labels": network.labels,
        }

    def create(self, body: Json) -> Json:
        """Make one; `{"Id", "Warning"}`."""
        network = self._networks.create(parse_network(body))
        self._tell("create", network)
        return {"Id": network.id, "Warning": ""}

    def remove(self, name: str) -> None:
        """Remove one."""
        network = self._networks.get(name)
        self._networks.remove(network, (c.name for c, _ in self._networking.users(network).values()))
        self._tell("destroy", network)

    def connect(self, name: str, body: Json) -> None:
        """Put a container on one."""
        container = self._containers.get(_container_of(body))
        settings = body.get("EndpointConfig") or {}
        if not isinstance(settings, dict):
            raise invalid("invalid EndpointConfig: an object is expected")
        self._networking.connect(container, self._networks.get(name), settings)

    def disconnect(self, name: str, body: Json) -> None:
        """Take a container off one."""
        container = self._containers.get(_container_of(body))
        self._networking.disconnect(container, self._networks.get(name))

    def prune(self, filters: Filters) -> Json:
        """Remove those that no container is on."""
        known = {"until", "label", "label!"}
        if set(filters) - known:
            raise invalid(f"invalid filter '{min(set(filters) - known)}'")
        gone = []
        for network in self._networks.all():
            used = any(network.name in container.endpoints for container in self._containers.all())
            if network.predefined or used or not matches_labels(network.labels, filters):
                continue
            if "until" in filters and not is_older(network.created_ns, filters["until"], time.time_ns()):
                continue
            try:
                self.remove(network.id)
                gone.append(network.name)
            except AgentError:
                continue  # a container has come on it meanwhile
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": gone or None}

    def _tell(self, action: str, network: Network) -> None:
        self._events.publish("network", action, network.id, {"name": network.name, "type": network.driver})

    def _matches(self, network: Network, filters: Filters) -> bool:
        tests: dict[str, Callable[[str], bool]] = {
            "id": lambda value: network.id.startswith(value),
            "name": lambda value: value in network.name,
            "driver": lambda value: value == network.driver,
            "scope": lambda value: value == "local",
            "type": lambda value: network.predefined == (value == "builtin"),
            "dangling": lambda value: is_true(value) != self._is_used(network),
        }
        for key, wanted in filters.items():
            if key == "label":
                continue
            if key not in tests:
                raise invalid(f"invalid filter '{key}'")
            if key == "type" and not set(wanted) <= {"builtin", "custom"}:
                raise invalid(f"invalid filter: 'type'='{wanted[0]}'")
            if wanted and not any(tests[key](value) for value in wanted):
                return False
        return matches_labels(network.labels, filters)

    def _is_used(self, network: Network) -> bool:
        return network.predefined or bool(self._networking.users(network))


def _container_of(body: Json) -> str:
    name = body.get("Container")
    if not isinstance(name, str) or not name:
        raise invalid("invalid container name or ID: value is empty")
    return name
