"""The engine's one nftables table, replaced as a whole in one transaction."""

from __future__ import annotations

from ..linux import nftables as nft
from ..linux.netlink import NETLINK_NETFILTER, Netlink


def plan_table(table: str, bridge: str, subnet: str) -> list[nft.Message]:
    """Messages that replace the table.

    What leaves a bridge's subnet by another interface is masqueraded. Forwarding into the bridge is for answers only:
    nobody outside opens a connection to a container that published nothing, even with a route to its subnet.
    """
    return [
        nft.new_table(table),
        nft.delete_table(table),
        nft.new_table(table),
        nft.new_chain(table, "postrouting", kind="nat", hook=nft.HOOK_POSTROUTING, priority=nft.PRIORITY_SRCNAT),
        nft.new_rule(
            table,
            "postrouting",
            nft.match_network(subnet, source=True)
            + nft.match_interface(nft.META_OIFNAME, bridge, is_not=True)
            + nft.masquerade(),
        ),
        nft.new_chain(table, "forward", kind="filter", hook=nft.HOOK_FORWARD, priority=nft.PRIORITY_FILTER),
        nft.new_rule(
            table,
            "forward",
            nft.match_interface(nft.META_OIFNAME, bridge) + nft.match_established() + nft.verdict(nft.ACCEPT),
        ),
        nft.new_rule(
            table,
            "forward",
            nft.match_interface(nft.META_OIFNAME, bridge)
            + nft.match_interface(nft.META_IIFNAME, bridge, is_not=True)
            + nft.verdict(nft.DROP),
        ),
    ]


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
