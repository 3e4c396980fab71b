"""The container's end of name resolution: sockets in its network namespace on which the engine answers.

A container on a network of its own finds 127.0.0.11 in its resolv.conf, as with Docker. What is sent to port 53 there
is redirected to ports of the kernel's choosing, so that a name server in the container can still have port 53 itself.
The sockets are made before the program starts and outlive the agent: a query that comes early waits in them.
"""

from __future__ import annotations

import array
import socket

from ..linux import nftables as nft
from ..linux.netlink import NETLINK_NETFILTER, Netlink

ADDRESS = "127.0.0.11"
TABLE = "atoll-resolver"
BACKLOG = 16


def open_sockets() -> tuple[socket.socket, socket.socket]:
    """Make the sockets (datagrams, connections) in this thread's namespace and send port 53 to them.

    Raises:
        OSError: the kernel refused.
    """
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        datagrams.bind((ADDRESS, 0))
        streams.bind((ADDRESS, 0))
        streams.listen(BACKLOG)
        ports = (("udp", datagrams.getsockname()[1]), ("tcp", streams.getsockname()[1]))
        with Netlink(NETLINK_NETFILTER) as netlink:
            netlink.send_batch(plan_redirection(ports), "resolver")
    except BaseException:
        datagrams.close()
        streams.close()
        raise
    return datagrams, streams


def offer(status: socket.socket, mark: bytes) -> None:
    """Make the sockets and hand them over.

    Raises:
        OSError: the kernel refused.
    """
    datagrams, streams = open_sockets()
    with datagrams, streams:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [datagrams.fileno(), streams.fileno()]))]
        status.sendmsg([mark], rights)


def plan_redirection(ports: tuple[tuple[str, int], ...]) -> list[nft.Message]:
    """Messages that send port 53 of the resolver's address to other ports of it, and nothing else there any more."""
    messages = [
        nft.new_table(TABLE),
        nft.delete_table(TABLE),
        nft.new_table(TABLE),
        nft.new_chain(TABLE, "output", kind="nat", hook=nft.HOOK_OUTPUT, priority=nft.PRIORITY_DSTNAT),
    ]
    for protocol, port in ports:
        there = nft.match_network(f"{ADDRESS}/32", source=False) + nft.match_port(protocol, 53)
        messages.append(nft.new_rule(TABLE, "output", there + nft.redirect_to(ADDRESS, port)))
    return messages
