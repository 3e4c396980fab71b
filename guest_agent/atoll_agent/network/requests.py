"""Reading Docker's requests about networks. Pure: plain values in, plain values or an error out."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from ..api.errors import AgentError, Kind, invalid, not_found
from .records import BRIDGE, BRIDGE_OPTION, HOST, MTU_OPTION, NONE, Pool

_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}", re.ASCII)
PREDEFINED = ("bridge", "host", "none", "default")
MAX_POOLS = 16
SMALLEST = 4


@dataclass(frozen=True)
class NetworkRequest:
    """What a `POST /networks/create` asks for; subnets that it leaves open are not among the pools."""

    name: str
    driver: str
    pools: tuple[Pool, ...]
    ipv4: bool
    ipv6: bool
    internal: bool
    attachable: bool
    options: dict[str, str]
    labels: dict[str, str]
    ipam_options: dict[str, str] | None


def parse_network(body: dict[str, Any]) -> NetworkRequest:
    """Read a create request.

    Raises:
        AgentError: malformed, forbidden, or something this engine does not have.
    """
    name = _text(body, "Name")
    if not name.strip():
        raise invalid("invalid name: name is empty")
    if not name.isprintable() or len(name) > 255:
        raise invalid(f'invalid network name: "{name[:80]}"')
    if name in PREDEFINED:
        raise AgentError(Kind.FORBIDDEN, f"operation is not permitted on predefined {name} network")
    driver = _text(body, "Driver") or BRIDGE
    if driver in (HOST, NONE):
        raise AgentError(Kind.FORBIDDEN, f'only one instance of "{driver}" network is allowed')
    if driver != BRIDGE:
        raise not_found(f"could not find plugin {driver[:80]} in v1 plugin registry: plugin not found")
    if body.get("ConfigOnly") or body.get("ConfigFrom"):
        raise AgentError(Kind.NOT_IMPLEMENTED, "config-only networks are not supported by this version of Atoll")
    if body.get("Ingress") or _text(body, "Scope") == "swarm":
        raise AgentError(Kind.FORBIDDEN, "this node is not a swarm manager")
    ipam = _object(body, "IPAM")
    if (ipam.get("Driver") or "default") not in ("default", "null"):
        raise not_found(f"could not find plugin {ipam['Driver']}: plugin not found")
    options = _strings(body, "Options")
    _check_options(options)
    pools = _parse_pools(ipam.get("Config"))
    ipv4, ipv6 = body.get("EnableIPv4") is not False, bool(body.get("EnableIPv6"))
    if not (ipv4 or ipv6):
        raise invalid("IPv4 or IPv6 must be enabled")
    return NetworkRequest(
        name=name,
        driver=driver,
        pools=pools,
        ipv4=ipv4,
        ipv6=ipv6,
        internal=bool(body.get("Internal")),
        attachable=bool(body.get("Attachable")),
        options=options,
        labels=_strings(body, "Labels"),
        ipam_options=_strings(ipam, "Options") if ipam.get("Options") is not None else None,
    )


def _parse_pools(configs: object) -> tuple[Pool, ...]:
    if configs is None:
        return ()
    if not isinstance(configs, list) or len(configs) > MAX_POOLS:
        raise invalid("invalid IPAM config: a short list is expected")
    return tuple(_parse_pool(config) for config in configs if config)


def _parse_pool(config: object) -> Pool:
    if not isinstance(config, dict):
        raise invalid("invalid IPAM config: an object is expected")
    subnet, within, gateway = _text(config, "Subnet"), _text(config, "IPRange"), _text(config, "Gateway")
    auxiliary = _strings(config, "AuxiliaryAddresses")
    try:
        network = ipaddress.ip_network(subnet)
    except ValueError:
        raise invalid(f"invalid subnet {subnet[:80]}: {_why_not(subnet)}") from None
    if network.num_addresses < SMALLEST:
        raise invalid(f"invalid subnet {subnet}: too small for a gateway and a container")
    if within:
        try:
            part = ipaddress.ip_network(within)
            contained = part.version == network.version and part.subnet_of(network)  # type: ignore[arg-type]
        except ValueError:
            raise invalid(f"invalid ip-range {within[:80]}: {_why_not(within)}") from None
        if not contained:
            raise invalid(f"invalid ip-range {within}: parent subnet {subnet} doesn't contain ip-range")
    for what, address in (("gateway", gateway), *(("auxiliary address", text) for text in auxiliary.values())):
        if address:
            _check_inside(what, address, network)
    return Pool(str(network), gateway, within, auxiliary)


def _why_not(subnet: str) -> str:
    try:
        network = ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return "invalid CIDR block notation" if subnet else "subnet is required"
    return f"it should be {network}"


def _check_inside(what: str, address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    try:
        inside = ipaddress.ip_address(address) in network
    except ValueError:
        raise invalid(f"invalid {what} {address[:80]}: not an IP address") from None
    if not inside:
        raise invalid(f"invalid {what} {address}: parent subnet {network} doesn't contain it")


def _check_options(options: dict[str, str]) -> None:
    interface = options.get(f"{BRIDGE_OPTION}name", "")
    if interface and not _INTERFACE.fullmatch(interface):
        raise invalid(f"invalid bridge name {interface[:40]!r}: up to 15 letters, digits, dots and dashes")
    mtu = options.get(MTU_OPTION, "")
    if mtu and not (mtu.isascii() and mtu.isdigit() and 68 <= int(mtu[:6]) <= 65535):
        raise invalid(f"invalid MTU {mtu[:20]!r}")


@dataclass(frozen=True)
class EndpointRequest:
    """How a container wants to be on a network (Docker's EndpointSettings)."""

    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    priority: int = 0


def parse_endpoint(settings: object) -> EndpointRequest:
    """Read an EndpointSettings.

    Raises:
        AgentError: malformed addresses.
    """
    if settings is None:
        return EndpointRequest()
    if not isinstance(settings, dict):
        raise invalid("invalid endpoint settings: an object is expected")
    ipam = _object(settings, "IPAMConfig")
    ipv4, ipv6 = _text(ipam, "IPv4Address"), _text(ipam, "IPv6Address")
    for text, version in ((ipv4, 4), (ipv6, 6)):
        try:
            good = not text or ipaddress.ip_address(text).version == version
        except ValueError:
            good = False
        if not good:
            raise invalid(f"invalid IPv{version} address: {text[:60]}")
    mac = _text(settings, "MacAddress").lower().replace("-", ":")
    if mac and not re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", mac):
        raise invalid(f"invalid MAC address: {mac[:40]}")
    priority = settings.get("GwPriority") or 0
    return EndpointRequest(
        ipv4=ipv4,
        ipv6=ipv6,
        mac=mac,
        aliases=_list(settings, "Aliases"),
        links=_list(settings, "Links"),
        priority=priority if isinstance(priority, int) else 0,
    )


def _text(where: dict[str, Any], name: str) -> str:
    value = where.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(f"invalid {name}: a string is expected")
    return value


def _object(where: dict[str, Any], name: str) -> dict[str, Any]:
    value = where.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"invalid {name}: an object is expected")
    return value


def _strings(where: dict[str, Any], name: str) -> dict[str, str]:
    value = _object(where, name)
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in value.items()):
        raise invalid(f"invalid {name}: strings are expected")
    return dict(value)


def _list(where: dict[str, Any], name: str) -> tuple[str, ...]:
    value = where.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(f"invalid {name}: a list of strings is expected")
    return tuple(value)
