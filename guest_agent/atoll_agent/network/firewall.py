"""The engine's one nftables table, planned from all networks and ports and replaced as a whole in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..linux import nftables as nft
from ..linux.netlink import NETLINK_NETFILTER, Netlink


@dataclass(frozen=True)
class Bridge:
    """What the firewall has to know of a network.

    Attributes:
        interface: name of the bridge.
        subnets: in CIDR form.
        internal: nothing goes out or comes in.
        masquerades: whether what goes out takes the machine's address.
    """

    interface: str
    subnets: tuple[str, ...]
    internal: bool = False
    masquerades: bool = True


@dataclass(frozen=True)
class Port:
    """A published port.

    Attributes:
        protocol: `tcp`, `udp` or `sctp`.
        address: of this machine; "" for all.
        port: there.
        target: the container's address.
        target_port: the container's port.
        bridge: interface that leads to the container.
    """

    protocol: str
    address: str
    port: int
    target: str
    target_port: int
    bridge: str


def plan_table(table: str, bridges: Iterable[Bridge], ports: Iterable[Port] = ()) -> list[nft.Message]:
    """Messages that replace the table.

    Into a bridge come answers, what was redirected to a published port, and its own containers' packets: nobody
    outside reaches a container that published nothing, even with a route to its subnet, and bridges do not reach each
    other. The rules see every packet of the machine, so each names its bridge first.
    """
    bridges, ports = list(bridges), list(ports)
    messages = [nft.new_table(table), nft.delete_table(table), nft.new_table(table)]
    messages.append(
        nft.new_chain(table, "postrouting", kind="nat", hook=nft.HOOK_POSTROUTING, priority=nft.PRIORITY_SRCNAT)
    )
    for bridge in bridges:
        messages += [nft.new_rule(table, "postrouting", rule) for rule in _plan_source(bridge)]
    messages.append(nft.new_chain(table, "forward", kind="filter", hook=nft.HOOK_FORWARD, priority=nft.PRIORITY_FILTER))
    for bridge in bridges:
        messages += [nft.new_rule(table, "forward", rule) for rule in _plan_way_out(bridge)]
    for bridge in bridges:
        messages += [nft.new_rule(table, "forward", rule) for rule in _plan_way_in(bridge)]
    if ports:
        for name, hook in (("prerouting", nft.HOOK_PREROUTING), ("output", nft.HOOK_OUTPUT)):
            messages.append(nft.new_chain(table, name, kind="nat", hook=hook, priority=nft.PRIORITY_DSTNAT))
            messages += [nft.new_rule(table, name, _plan_port(port)) for port in ports if not _is_loopback(port)]
    return messages


def _plan_source(bridge: Bridge) -> list[nft.Expressions]:
    if bridge.internal or not bridge.masquerades:
        return []
    outside = nft.match_interface(nft.META_OIFNAME, bridge.interface, is_not=True)
    inside = nft.match_interface(nft.META_OIFNAME, bridge.interface)
    rules = []
    for subnet in bridge.subnets:
        source = nft.match_network(subnet, source=True)
        rules.append(outside + source + nft.masquerade())
        # A container that goes to a published port of its own network must get its answers the same way back.
        rules.append(inside + nft.match_redirected() + source + nft.masquerade())
    return rules


def _plan_way_out(bridge: Bridge) -> list[nft.Expressions]:
    if not bridge.internal:
        return []
    return [
        nft.match_interface(nft.META_IIFNAME, bridge.interface)
        + nft.match_interface(nft.META_OIFNAME, bridge.interface, is_not=True)
        + nft.verdict(nft.DROP),
    ]


def _plan_way_in(bridge: Bridge) -> list[nft.Expressions]:
    into = nft.match_interface(nft.META_OIFNAME, bridge.interface)
    elsewhere = nft.match_interface(nft.META_IIFNAME, bridge.interface, is_not=True)
    rules = []
    if not bridge.internal:
        rules.append(into + nft.match_established() + nft.verdict(nft.ACCEPT))
        rules.append(into + nft.match_redirected() + nft.verdict(nft.ACCEPT))
    rules.append(into + elsewhere + nft.verdict(nft.DROP))
    return rules


def _is_loopback(port: Port) -> bool:
    """Loopback never crosses an interface: who publishes there is served by a listener instead."""
    return port.address.startswith("127.") or port.address == "::1"


def _plan_port(port: Port) -> nft.Expressions:
    version = 6 if ":" in port.target else 4
    if port.address:
        bits = 32 if version == 4 else 128
        place = nft.match_network(f"{port.address}/{bits}", source=False)
    else:
        place = nft.match_family(version) + nft.match_network(
            "127.0.0.0/8" if version == 4 else "::1/128", source=False, is_not=True
        )
    return (
        place
        + nft.match_local()
        + nft.match_port(port.protocol, port.port)
        + nft.redirect_to(port.target, port.target_port)
    )


def apply_table(messages: list[nft.Message]) -> None:
    """Carry the transaction out.

    Raises:
        OSError: the kernel refused; the table is as it was.
    """
    with Netlink(NETLINK_NETFILTER) as netlink:
        netlink.send_batch(messages, "firewall")


def remove_table(table: str) -> None:
    """Remove the table."""
    apply_table([nft.new_table(table), nft.delete_table(table)])
