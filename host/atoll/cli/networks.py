"""`atoll network ...`: create, ls, inspect, connect, disconnect, rm. `prune` is with its like."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ..errors import ApiError, ConfigError
from .containers import for_each
from .filters import parse_filters
from .inspect import inspect_each
from .lazy import DockerCommand, pass_target
from .moments import format_go_time
from .render import out, warn
from .sorting import natural
from .target import Target
from .template import print_list
from .values import parse_labels

COLUMNS = {"ID": "network_id", "Name": "name", "Driver": "driver", "Scope": "scope"}
HEADINGS = {"CreatedAt": "created_at"}
CREATE_EXAMPLES = """\b
Examples:
  atoll network create front
  atoll network create --subnet 10.9.0.0/24 --gateway 10.9.0.1 --internal back
"""


@click.command(cls=DockerCommand, epilog=CREATE_EXAMPLES)
@click.option("-d", "--driver", default="bridge", metavar="DRIVER", help="Driver of the network.", show_default=True)
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Addresses of the network, as 10.9.0.0/24.")
@click.option("--gateway", "gateways", multiple=True, metavar="ADDRESS", help="Address of its gateway.")
@click.option("--ip-range", "ranges", multiple=True, metavar="CIDR", help="Part that containers get addresses of.")
@click.option("--aux-address", "auxiliary", multiple=True, metavar="NAME=ADDRESS", help="An address to leave alone.")
@click.option("--internal", is_flag=True, help="Nothing beyond the network is reached from it.")
@click.option("--ipv4/--no-ipv4", default=None, help="Give IPv4 addresses (default).")
@click.option("--ipv6/--no-ipv6", default=None, help="Give IPv6 addresses.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Set a label.")
@click.option("-o", "--opt", "options", multiple=True, metavar="NAME=VALUE", help="Option of the driver.")
@click.option("--ipam-driver", default="default", metavar="DRIVER", help="Driver of its addresses.", show_default=True)
@click.option("--ipam-opt", "ipam_options", multiple=True, metavar="NAME=VALUE", help="Option of that driver.")
@click.option("--attachable", is_flag=True, help="Containers may join by hand.")
@click.option("--ingress", is_flag=True, hidden=True)
@click.option("--scope", default="", metavar="SCOPE", help="Scope of the network.")
@click.option("--config-only", is_flag=True, hidden=True)
@click.option("--config-from", default="", hidden=True)
@click.argument("network")
@pass_target
def create(target: Target, /, network: str, **flags: Any) -> None:
    """Create a network, and print its id."""
    try:
        request = build_network(network, flags)
    except ValueError as error:
        raise ConfigError(str(error), "see `atoll network create --help`") from error
    created = target.engine().networks.create(request)
    if created.get("Warning"):
        warn(created["Warning"])
    out(created["Id"])


def build_network(name: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Build the body of `POST /networks/create` (pure).

    Raises:
        ValueError: addresses that make no sense, or belong to no subnet.
    """
    request = {
        "Name": name,
        "CheckDuplicate": True,
        "Driver": flags["driver"],
        "Scope": flags["scope"],
        "EnableIPv4": flags["ipv4"],
        "EnableIPv6": flags["ipv6"],
        "IPAM": {
            "Driver": flags["ipam_driver"],
            "Options": parse_labels(flags["ipam_options"]),
            "Config": build_ipam(flags["subnets"], flags["gateways"], flags["ranges"], flags["auxiliary"]),
        },
        "Internal": flags["internal"],
        "Attachable": flags["attachable"],
        "Ingress": flags["ingress"],
        "ConfigOnly": flags["config_only"],
        "ConfigFrom": {"Network": flags["config_from"]} if flags["config_from"] else None,
        "Options": parse_labels(flags["options"]),
        "Labels": parse_labels(flags["labels"]),
    }
    return {key: value for key, value in request.items() if value is not None}


def build_ipam(
    subnets: Sequence[str], gateways: Sequence[str], ranges: Sequence[str], auxiliary: Sequence[str]
) -> list[dict[str, Any]]:
    """Give gateways, ranges and auxiliary addresses to the subnets they lie in (pure).

    Raises:
        ValueError: not an address, of no subnet, two for one subnet, or subnets that overlap.
    """
    subnets, gateways, ranges = (_split(values) for values in (subnets, gateways, ranges))
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise ValueError("every ip-range or gateway must have a corresponding subnet")
    networks = [ipaddress.ip_network(subnet, strict=False) for subnet in subnets]
    for at, network in enumerate(networks):
        if any(network.version == other.version and network.overlaps(other) for other in networks[:at]):
            raise ValueError("multiple overlapping subnet configuration is not supported")
    pools: list[dict[str, Any]] = [{"Subnet": subnet} for subnet in subnets]
    for key, what, texts in (("IPRange", "range", ranges), ("Gateway", "gateway", gateways)):
        for text in texts:
            pool = pools[_find_subnet(networks, text, what)]
            if key in pool:
                raise ValueError(f"two of {what} for subnet {pool['Subnet']}: {pool[key]} and {text}")
            pool[key] = text
    for name, text in parse_labels(auxiliary).items():
        pools[_find_subnet(networks, text, "aux-address")].setdefault("AuxiliaryAddresses", {})[name] = text
    return pools


def _split(values: Sequence[str]) -> list[str]:
    """Docker takes these flags repeated and with commas."""
    return [part.strip() for value in values for part in value.split(",")]


def _find_subnet(networks: Sequence[Any], text: str, what: str) -> int:
    address = ipaddress.ip_interface(text).ip
    for at, network in enumerate(networks):
        if address.version == network.version and address in network:
            return at
    raise ValueError(f"no matching subnet for {what} {text}")


@click.command(cls=DockerCommand)
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only networks that match: driver, id, label, name, scope, type, dangling.",
)
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Show ids whole.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Name}}: {{.Driver}}'.")
@pass_target
def ls(target: Target, filters: tuple[str, ...], quiet: bool, no_trunc: bool, format: str | None) -> None:
    """List networks."""
    found = target.engine().networks.list(parse_filters(filters))
    rows = [summarize(network, trunc=not no_trunc) for network in sorted(found, key=lambda n: natural(n["Name"]))]
    if quiet and format in (None, "table"):
        for row in rows:
            out(row["ID"])
        return
    print_list(rows, COLUMNS, format, HEADINGS)


def summarize(network: Mapping[str, Any], *, trunc: bool) -> dict[str, Any]:
    """Make a row of a network, with Docker's field names (pure)."""
    labels = network.get("Labels") or {}
    return {
        "CreatedAt": format_go_time(network.get("Created", "")),
        "Driver": network.get("Driver", ""),
        "ID": network["Id"][:12] if trunc else network["Id"],
        "IPv4": str(bool(network.get("EnableIPv4"))).lower(),
        "IPv6": str(bool(network.get("EnableIPv6"))).lower(),
        "Internal": str(bool(network.get("Internal"))).lower(),
        "Label": lambda name: labels.get(name, ""),
        "Labels": ",".join(sorted(f"{name}={value}" for name, value in labels.items())),
        "Name": network["Name"],
        "Scope": network.get("Scope", ""),
    }


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{json .IPAM.Config}}'.")
@click.option("-v", "--verbose", is_flag=True, help="Also what is known of other hosts.")
@click.argument("networks", nargs=-1, required=True)
@pass_target
def inspect(target: Target, networks: tuple[str, ...], format: str | None, verbose: bool) -> int:
    """Show everything about networks, as JSON."""
    engine = target.engine()
    return inspect_each(networks, lambda name: engine.networks.inspect(name, verbose=verbose), format)


@click.command(cls=DockerCommand)
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="A further name of the container there.")
@click.option("--driver-opt", "options", multiple=True, metavar="NAME=VALUE", help="Option of the driver.")
@click.option("--gw-priority", "priority", type=int, metavar="NUMBER", help="The highest gives the default gateway.")
@click.option("--ip", metavar="ADDRESS", help="IPv4 address.")
@click.option("--ip6", metavar="ADDRESS", help="IPv6 address.")
@click.option("--link", "links", multiple=True, metavar="CONTAINER[:ALIAS]", help="Know another container by name.")
@click.option("--link-local-ip", "link_local", multiple=True, metavar="ADDRESS", help="A link-local address.")
@click.argument("network")
@click.argument("container")
@pass_target
def connect(target: Target, /, network: str, container: str, **flags: Any) -> None:
    """Let CONTAINER join NETWORK."""
    target.engine().networks.connect(network, container, build_endpoint(flags))


def build_endpoint(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Build the settings of an endpoint of what was asked for (pure)."""
    addresses = {"IPv4Address": flags["ip"], "IPv6Address": flags["ip6"], "LinkLocalIPs": list(flags["link_local"])}
    settings = {
        "Aliases": list(flags["aliases"]),
        "DriverOpts": parse_labels(flags["options"]),
        "GwPriority": flags["priority"],
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "Links": list(flags["links"]),
    }
    return {key: value for key, value in settings.items() if value}


@click.command(cls=DockerCommand)
@click.option("-f", "--force", is_flag=True, help="Also a container that is not there any more.")
@click.argument("network")
@click.argument("container")
@pass_target
def disconnect(target: Target, network: str, container: str, force: bool) -> None:
    """Let CONTAINER leave NETWORK."""
    target.engine().networks.disconnect(network, container, force=force)


@click.command(cls=DockerCommand)
@click.option("-f", "--force", is_flag=True, help="Do not complain about networks that are not there.")
@click.argument("networks", nargs=-1, required=True)
@pass_target
def rm(target: Target, networks: tuple[str, ...], force: bool) -> int:
    """Remove networks that nobody is in."""
    engine = target.engine()
    gone: set[str] = set()

    def remove(name: str) -> None:
        try:
            engine.networks.remove(name)
        except ApiError as error:
            if not (force and error.status == 404):
                raise
            gone.add(name)

    return for_each(networks, remove, silent=gone)
