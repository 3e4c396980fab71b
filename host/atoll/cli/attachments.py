"""`--network` and what goes with it: how a container is connected (pure)."""

from __future__ import annotations

import re

from .mounts import split_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .request import ContainerOptions

_LONG = re.compile(r"\w+=\w+(,\w+=\w+)*")
_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}", re.IGNORECASE)
BUILT_IN = ("default", "bridge", "host", "none")
DEFAULT = "default"
"""The engine's word for the network of those that name none."""


class Attachment:
    """One network a container is connected to, as the flags say it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.aliases: list[str] = []
        self.links: list[str] = []
        self.link_local: list[str] = []
        self.driver_options: dict[str, str] = {}
        self.ip = self.ip6 = self.mac = ""
        self.gateway_priority = 0

    @property
    def user_defined(self) -> bool:
        """Whether it is a network that somebody made, with names of its own."""
        return self.name not in BUILT_IN and not self.name.startswith("container:")

    def to_settings(self) -> dict[str, Any]:
        """The endpoint's settings in the engine's words; empty when nothing was asked for."""
        if not self.user_defined and (self.aliases or self.links):
            what = "network-scoped aliases" if self.aliases else "links"
            raise ValueError(f"{what} are only supported for user-defined networks")
        if self.mac and not _MAC.fullmatch(self.mac):
            raise ValueError(f"invalid mac address: {self.mac!r}")
        addresses = {"IPv4Address": self.ip, "IPv6Address": self.ip6, "LinkLocalIPs": self.link_local}
        settings = {
            "Aliases": self.aliases,
            "Links": self.links,
            "DriverOpts": self.driver_options,
            "IPAMConfig": {name: value for name, value in addresses.items() if value},
            "MacAddress": self.mac,
            "GwPriority": self.gateway_priority,
        }
        return {name: value for name, value in settings.items() if value}


def parse_network(text: str) -> Attachment:
    """Parse a network's name, or `name=...,alias=...,ip=...`.

    Raises:
        ValueError: an unknown field, or no name.
    """
    if not _LONG.search(text):
        return Attachment(text)
    found = Attachment("")
    for field in split_fields(text):
        key, equals, value = (part.strip() for part in field.partition("="))
        if not equals or not key:
            raise ValueError(f"invalid field of --network: {field!r}")
        _set_field(found, key.lower(), value)
    if not found.name:
        raise ValueError(f"network without a name: {text!r}")
    return found


def _set_field(attachment: Attachment, key: str, value: str) -> None:
    match key:
        case "name":
            attachment.name = value
        case "alias":
            attachment.aliases.append(value)
        case "ip":
            attachment.ip = value
        case "ip6":
            attachment.ip6 = value
        case "mac-address":
            attachment.mac = value
        case "link-local-ip":
            attachment.link_local.append(value)
        case "driver-opt":
            name, equals, option = value.partition("=")
            if not equals or not name:
                raise ValueError(f"invalid driver option of --network: {value!r} (use name=value)")
            attachment.driver_options[name] = option
        case "gw-priority":
            try:
                attachment.gateway_priority = int(value)
            except ValueError:
                raise ValueError(f"invalid gw-priority: {value!r}") from None
        case _:
            raise ValueError(f"unknown field of --network: {key!r}")


def build_endpoints(options: ContainerOptions) -> dict[str, dict[str, Any]]:
    """Build the endpoints' settings by network; what the first one needs beyond its name is left out when it is alone.

    Raises:
        ValueError: flags that contradict each other.
    """
    attachments = [parse_network(text) for text in options.network]
    first = attachments[0] if attachments else Attachment(DEFAULT)
    _apply_flags(first, options)
    if len(attachments) < 2:
        settings = first.to_settings()
        return {first.name: settings} if settings else {}
    if len({attachment.user_defined for attachment in attachments}) > 1:
        raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    endpoints: dict[str, dict[str, Any]] = {}
    for attachment in attachments:
        if attachment.name in endpoints:
            raise ValueError(f"network {attachment.name!r} is specified multiple times")
        endpoints[attachment.name] = attachment.to_settings()
    return endpoints


def network_mode(options: ContainerOptions) -> str | None:
    """The network a container starts with; None for the engine's own choice."""
    return parse_network(options.network[0]).name if options.network else None


def _apply_flags(first: Attachment, options: ContainerOptions) -> None:
    """The flags without a network's name belong to the first network."""
    pairs = (
        ("aliases", list(options.network_alias), "--network-alias", "alias"),
        ("ip", options.ip or "", "--ip", "ip"),
        ("ip6", options.ip6 or "", "--ip6", "ip6"),
        ("mac", options.mac_address or "", "--mac-address", "mac-address"),
        ("link_local", list(options.link_local_ip), "--link-local-ip", "link-local-ip"),
        ("links", list(options.link) if first.user_defined else [], "--link", "link"),
    )
    for attribute, value, flag, field in pairs:
        if not value:
            continue
        if getattr(first, attribute):
            raise ValueError(f"conflicting options: {flag} and {field}= of --network")
        setattr(first, attribute, value)
