"""Containers on networks: what they asked for, what they have while they run, and how they find each other by name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..api.errors import AgentError, Kind, invalid, not_found
from ..linux.resolv import parse_servers
from ..network.firewall import Port
from ..network.networks import Attachment, Networks, Wanted, choose_gateway
from ..network.publish import PortTaken, Publisher
from ..network.records import Network
from ..network.requests import EndpointRequest, parse_endpoint
from ..network.resolver import Resolver
from ..runtime import resolver_socket
from ..runtime.interfaces import add_interface, in_network_of, remove_interface
from . import links
from .containers import Containers
from .etc_files import plan_etc_mounts, write_etc_files
from .events import Events
from .ports import Binding, plan_bindings
from .records import Container
from .sharing import donor_of
from .supervision import Supervision

log = logging.getLogger(__name__)
SHARES_NETWORK = "container sharing network namespace with another container or host"


class Networking:
    """Puts containers on networks and takes them off. Thread-safe; a container's own lock is its caller's."""

    def __init__(
        self,
        networks: Networks,
        containers: Containers,
        supervision: Supervision,
        events: Events,
        publisher: Publisher,
        host_gateway: str,
    ) -> None:
        self.networks, self._publisher = networks, publisher
        networks.publish(self.published)
        self._containers, self._supervision, self._events = containers, supervision, events
        self._host_gateway = host_gateway
        self._resolver = Resolver(self)

    # -- a container's start and end ---------------------------------------------------------

    def attach(self, container: Container) -> list[Attachment]:
        """Addresses for a container that is about to start; `release` takes them back.

        Raises:
            AgentError: a network is gone, or an address is not to be had.
        """
        wanted = self._wanted(container)
        mac = str(container.config.get("MacAddress") or "")
        made = self.networks.attach(container.id, wanted, mac)
        choose_gateway(made, wanted)
        return made

    def _wanted(self, container: Container) -> list[Wanted]:
        found: list[Wanted] = []
        for name, settings in container.endpoints.items():
            network = self.networks.find(name)
            if network is None:
                raise not_found(f"network {name} not found")
            found.append((network, parse_endpoint(settings)))
        return found

    def publish(self, container: Container, attachments: list[Attachment]) -> list[Port]:
        """Open the ports of a container that is about to start; `withdraw` closes them.

        Raises:
            AgentError: one is taken.
        """
        way = next((a for a in attachments if a.gateway), None)
        bindings = plan_bindings(container.config, container.host_config)
        if way is None or not bindings:
            return []
        opened: list[Port] = []
        try:
            for binding in bindings:
                opened.append(self._open(container, binding, way))
        except BaseException:
            self.withdraw(opened)
            raise
        return opened

    def _open(self, container: Container, binding: Binding, way: Attachment) -> Port:
        target = way.ipv6 if ":" in binding.address and way.ipv6 else way.ipv4 or way.ipv6
        reason = ""
        for number in range(binding.first, binding.last + 1):
            try:
                port = self._publisher.open(binding.protocol, binding.address, number, target, binding.container_port)
            except PortTaken as taken:
                reason = str(taken)
                continue
            bridge = self._network(way).interface
            return Port(binding.protocol, binding.address, port, target, binding.container_port, bridge)
        place = f"{binding.address or '0.0.0.0'}:{binding.first}"
        log.info("port %s: %s", place, reason)
        raise AgentError(
            Kind.SYSTEM,
            f"driver failed programming external connectivity on endpoint {container.name} ({way.endpoint}): "
            f"Bind for {place} failed: port is already allocated",
        )

    def withdraw(self, ports: list[Port]) -> None:
        """Close ports."""
        for port in ports:
            self._publisher.close(port.protocol, port.address, port.port)

    def published(self) -> list[Port]:
        """All published ports of running containers, for the firewall."""
        return [port for container in self._containers.all() if container.running for port in container.state.ports]

    def release(self, attachments: list[Attachment]) -> None:
        """Its addresses are free again."""
        self.networks.release(attachments)

    def resolves(self, attachments: list[Attachment]) -> bool:
        """Whether a container with these finds others by name."""
        return any(self._network(a).names_resolve for a in attachments)

    def _network(self, attachment: Attachment) -> Network:
        return self.networks.get(attachment.network)

    def started(self, container: Container) -> None:
        """A container runs: answer its name queries."""
        if self.resolves(container.state.attachments):
            self._resolver.add(container.id, self._supervision.resolver(container.id))
        if container.state.ports:
            self.networks.refresh()
        for attachment in container.state.attachments:
            self._tell(self._network(attachment), "connect", container)

    def recovered(self, container: Container) -> None:
        """A container has been running since before this agent."""
        self.networks.claim(container.state.attachments)
        for port in container.state.ports:
            try:
                self._publisher.keep(port.protocol, port.address, port.port, port.target, port.target_port)
            except PortTaken as error:
                log.warning("port %s of %s is not published any more: %s", port.port, container.name, error)
        if self.resolves(container.state.attachments):
            self._resolver.add(container.id, self._find_sockets(container))

    def _find_sockets(self, container: Container) -> list[int]:
        held = self._supervision.resolver(container.id)
        if held:
            return held
        try:
            made = in_network_of(container.state.pid, resolver_socket.open_sockets)
        except OSError as error:
            log.warning("%s finds no names: %s", container.id[:12], error)
            return []
        return [sock.detach() for sock in made]

    def ended(self, container: Container) -> None:
        """A container has ended: its addresses and names are free again."""
        self._resolver.remove(container.id)
        for attachment in container.state.attachments:
            network = self.networks.find(attachment.network)
            if network:
                self._tell(network, "disconnect", container)
        self.release(container.state.attachments)
        ports, container.state.ports, container.state.attachments = container.state.ports, [], []
        if ports:
            self.withdraw(ports)
            self.networks.refresh()

    # -- changing networks while it lives ----------------------------------------------------

    def connect(self, container: Container, network: Network, settings: dict[str, Any]) -> None:
        """Put a container on one more network.

        Raises:
            AgentError: it is on it already, or cannot be.
        """
        request = parse_endpoint(settings)
        with container.lock:
            self._check_connectable(container, network)
            if request.aliases and not network.names_resolve:
                raise invalid("network-scoped alias is supported only for containers in user defined networks")
            if container.running:
                self._connect_running(container, network, request)
            container.endpoints[network.name] = settings
            self._containers.store.save_config(container)
            if container.running:
                self._containers.store.save_state(container)
                self._write_files(container)
        self._tell(network, "connect", container)

    def _check_connectable(self, container: Container, network: Network) -> None:
        if network.name in container.endpoints:
            raise AgentError(
                Kind.FORBIDDEN, f"endpoint with name {container.name} already exists in network {network.name}"
            )
        names = {network.name, *container.endpoints}
        if network.name == "host":
            raise invalid("cannot connect container to host network - container must be created in host network mode")
        if "host" in names or str(container.host_config["NetworkMode"]).startswith("container:"):
            raise invalid(f"{SHARES_NETWORK} cannot be connected to any other network")
        if "none" in names:
            raise invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )

    def _connect_running(self, container: Container, network: Network, request: EndpointRequest) -> None:
        state = container.state
        numbers = [int(a.interface.removeprefix("eth") or 0) for a in state.attachments if a.interface]
        made = self.networks.attach(container.id, [(network, request)], first=max(numbers, default=-1) + 1)
        try:
            made[0].gateway = not network.internal and not any(a.gateway for a in state.attachments)
            add_interface(self.networks.plan_interface(made[0]), state.pid)
        except OSError as error:
            self.release(made)
            raise AgentError(Kind.SYSTEM, f"cannot connect {container.name} to {network.name}: {error}") from error
        knew_names = self.resolves(state.attachments)
        state.attachments += made
        if network.names_resolve and not knew_names:
            self._resolver.add(container.id, self._find_sockets(container))

    def disconnect(self, container: Container, network: Network) -> None:
        """Take a container off a network.

        Raises:
            AgentError: it is not on it.
        """
        with container.lock:
            if network.name not in container.endpoints:
                raise AgentError(
                    Kind.FORBIDDEN, f"container {container.id} is not connected to the network {network.name}"
                )
            if network.name == "host":
                raise AgentError(Kind.FORBIDDEN, "container cannot be disconnected from host network")
            gone = [a for a in container.state.attachments if a.network == network.id]
            for attachment in gone:
                remove_interface(attachment.host_name)
            self.release(gone)
            container.state.attachments = [a for a in container.state.attachments if a not in gone]
            del container.endpoints[network.name]
            self._containers.store.save_config(container)
            if container.running:
                self._containers.store.save_state(container)
                self._write_files(container)
        self._tell(network, "disconnect", container)

    def _tell(self, network: Network, action: str, container: Container) -> None:
        attributes = {"name": network.name, "type": network.driver, "container": container.id}
        self._events.publish("network", action, network.id, attributes)

    def users(self, network: Network) -> dict[str, tuple[Container, Attachment]]:
        """The running containers on a network by id."""
        found = {}
        for container in self._containers.all():
            for attachment in container.state.attachments if container.running else ():
                if attachment.network == network.id:
                    found[container.id] = (container, attachment)
        return found

    # -- files -------------------------------------------------------------------------------

    def write_files(self, container: Container, attachments: list[Attachment]) -> list[Any]:
        """Write /etc/hosts and its neighbours; returns their mounts. Who shares a network shares these files."""
        donor = donor_of(container.host_config)
        if donor:
            return plan_etc_mounts(self._containers.store.directory(donor))
        return write_etc_files(
            self._containers.store.directory(container.id),
            container.config,
            container.host_config,
            [address for a in attachments for address in (a.ipv4, a.ipv6) if address],
            resolver=resolver_socket.ADDRESS if self.resolves(attachments) else "",
            host_gateway=self._host_gateway or self.networks.gateway(self.networks.get("bridge"))[0],
            linked=links.plan_hosts(self.linked(container)),
        )

    def linked(self, container: Container) -> list[tuple[Container, str]]:
        """The containers that one on the default bridge links to, and what it calls them.

        Raises:
            AgentError: one is gone, or does not run.
        """
        if container.host_config["NetworkMode"] != "bridge":
            return []
        found = []
        for text in container.host_config.get("Links") or []:
            name, alias = links.parse_link(text)
            other = self._containers.get(name)
            links.check_running(other, alias, container)
            found.append((other, alias))
        return found

    def unlink(self, container: Container, alias: str) -> None:
        """Take one of a container's links away.

        Raises:
            AgentError: it has no such link.
        """
        with container.lock:
            container.host_config["Links"] = links.without_link(container, alias)
            self._containers.store.save_config(container)
            if container.running:
                self._write_files(container)

    def _write_files(self, container: Container) -> None:
        self.write_files(container, container.state.attachments)

    # -- names: what `resolver.Directory` asks -----------------------------------------------

    def addresses(self, asker: str, name: str) -> list[str] | None:
        """Addresses of the containers that have a name on a network of the asker's."""
        found: list[str] = []
        known = False
        for network, container, attachment in self._neighbours(asker):
            names = {n.lower() for n in self._names(asker, container, network)}
            if name in names or name.removesuffix(f".{network.name.lower()}") in names:
                known = True
                found += [address for address in (attachment.ipv4, attachment.ipv6) if address]
        return found if known else None

    def name(self, asker: str, address: str) -> str | None:
        """Name of the neighbour with an address."""
        for network, container, attachment in self._neighbours(asker):
            if address in (attachment.ipv4, attachment.ipv6):
                return f"{container.name}.{network.name}"
        return None

    def servers(self, asker: str) -> list[str]:
        """Where a container's other queries go; nowhere from internal networks."""
        container = self._containers.find(asker)
        if container is None or not any(a.gateway for a in container.state.attachments):
            return []
        own = container.host_config.get("Dns")
        return [str(server) for server in own] if own else parse_servers(_read_resolv_conf())

    def _neighbours(self, asker: str) -> list[tuple[Network, Container, Attachment]]:
        container = self._containers.find(asker)
        if container is None:
            return []
        found = []
        for own in list(container.state.attachments):
            network = self.networks.find(own.network)
            if network is not None and network.names_resolve:
                found += [(network, c, a) for c, a in self.users(network).values()]
        return found

    def _names(self, asker: str, container: Container, network: Network) -> list[str]:
        """What a container is called on a network, by everybody and by one that links to it."""
        names = [container.name, container.id[:12]]
        if container.config.get("Hostname"):
            names.append(str(container.config["Hostname"]))
        names += parse_endpoint(container.endpoints.get(network.name)).aliases
        asking = self._containers.find(asker)
        asked = [*parse_endpoint(asking.endpoints.get(network.name)).links] if asking else []
        for link in asked + list(asking.host_config.get("Links") or [] if asking else []):
            target, alias = links.parse_link(link)
            if target in (container.name, container.id, container.id[:12]):
                names.append(alias)
        return names


def _read_resolv_conf() -> str:
    try:
        return Path("/etc/resolv.conf").read_text(errors="replace")
    except OSError:
        return ""
