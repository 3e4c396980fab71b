"""Interfaces of containers: made on the bridge by whoever is outside, configured by whoever is inside."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from ..linux import links, processes
from ..linux.netlink import Netlink
from .spec import InterfaceSpec

Result = TypeVar("Result")


def give_interface(netlink: Netlink, plan: InterfaceSpec, pid: int) -> None:
    """Make a veth pair: one end on the bridge, the other in the network namespace of a process.

    Raises:
        OSError: there is no such bridge, or the kernel refused.
    """
    links.create_veth(
        netlink,
        plan["host_name"],
        plan["name"],
        peer_pid=pid,
        peer_mac=bytes.fromhex(plan["mac"].replace(":", "")),
        master=socket.if_nametoindex(plan["bridge"]),
        mtu=plan["mtu"],
    )
    if plan["isolated"]:
        links.isolate_port(netlink, plan["host_name"])


def configure_interface(netlink: Netlink, plan: InterfaceSpec) -> None:
    """Give an interface its addresses and routes; `netlink` belongs to the container's network namespace."""
    index = links.index_of(netlink, plan["name"])
    for address in plan["addresses"]:
        links.add_address(netlink, index, address)
    links.set_up(netlink, index)
    for gateway in plan["gateways"]:
        links.add_default_route(netlink, index, gateway)


def add_interface(plan: InterfaceSpec, pid: int) -> None:
    """Give a running container one more interface.

    Arguments:
        pid: a process of the container.

    Raises:
        OSError: the kernel refused; no interface is left.
    """
    with Netlink() as outside:
        give_interface(outside, plan, pid)
        try:
            with in_network_of(pid, Netlink) as inside:
                configure_interface(inside, plan)
        except BaseException:
            links.delete_link(outside, plan["host_name"])
            raise


def remove_interface(host_name: str) -> None:
    """Take an interface away; one that is gone is no error."""
    if links.find_link(host_name) is not None:
        with Netlink() as netlink:
            links.delete_link(netlink, host_name)


def in_network_of(pid: int, make: Callable[[], Result]) -> Result:
    """Call `make` in the network namespace of a process; a socket that it makes stays there.

    A namespace belongs to a thread, so a thread is made for it, and ends with it.

    Raises:
        OSError: the process is gone.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def work() -> None:
        try:
            processes.setns(descriptor, processes.CLONE_NEWNET)
            results.append(make())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="namespace")
    thread.start()
    thread.join()
    os.close(descriptor)
    if errors:
        raise errors[0]
    return results[0]
