"""Network links, addresses and routes by rtnetlink(7): bridges, veth pairs, loopback."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct

from .netlink import NLM_F_CREATE, NLM_F_EXCL, Attribute, Netlink, pack_attributes, unpack_attributes

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE = 24

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_PID = 1, 3, 4, 10, 18, 19
IFLA_PROTINFO, IFLA_BRPORT_ISOLATED = 12, 33
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_GATEWAY, RTA_OIF = 5, 4
IFA_F_NODAD = 2
RT_SCOPE_LINK = 253
IFF_UP = 1

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")


def _link_body(attributes: list[Attribute], *, index: int = 0, up: bool = False) -> bytes:
    state = IFF_UP if up else 0
    return _LINK.pack(socket.AF_UNSPEC, 0, index, state, state) + pack_attributes(attributes)


def find_link(name: str) -> int | None:
    """The index of a link by name in this namespace; None where there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def index_of(netlink: Netlink, name: str) -> int:
    """The index of a link by name in the namespace of the netlink socket, which may not be this thread's.

    Raises:
        OSError: ENODEV, there is none.
    """
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + pack_attributes([(IFLA_IFNAME, name)])
    for _kind, answer in netlink.ask(RTM_GETLINK, body, name):
        return int(_LINK.unpack_from(answer)[2])
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)


def create_bridge(netlink: Netlink, name: str, mac: bytes = b"", mtu: int = 0) -> None:
    """Create a bridge and set it up.

    Arguments:
        mac: its hardware address; b"" leaves the choice to the kernel, which changes it with the ports.
        mtu: bytes; 0 leaves the default.
    """
    attributes: list[Attribute] = [(IFLA_IFNAME, name), (IFLA_LINKINFO, [(IFLA_INFO_KIND, b"bridge")])]
    if mac:
        attributes.append((IFLA_ADDRESS, mac))
    if mtu:
        attributes.append((IFLA_MTU, mtu))
    netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _link_body(attributes, up=True), name)


def create_veth(
    netlink: Netlink, name: str, peer: str, *, peer_pid: int, peer_mac: bytes, master: int, mtu: int = 0
) -> None:
    """Create a veth pair in one message: this end up on the bridge `master`, the other in a process's namespace.

    Arguments:
        peer_pid: a process whose network namespace receives the other end.
        master: link index of the bridge.
        mtu: bytes, of both ends; 0 leaves the default.
    """
    size: list[Attribute] = [(IFLA_MTU, mtu)] if mtu else []
    there = _link_body([(IFLA_IFNAME, peer), (IFLA_ADDRESS, peer_mac), (IFLA_NET_NS_PID, peer_pid), *size])
    info: list[Attribute] = [
        (IFLA_INFO_KIND, b"veth"),
        (IFLA_INFO_DATA, [(VETH_INFO_PEER, there)]),
    ]
    here: list[Attribute] = [(IFLA_IFNAME, name), (IFLA_MASTER, master), (IFLA_LINKINFO, info), *size]
    netlink.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _link_body(here, up=True), name)


def isolate_port(netlink: Netlink, name: str) -> None:
    """Let a bridge's port talk to the bridge itself but to no other isolated port (bridge(8), `isolated on`)."""
    body = _LINK.pack(socket.AF_BRIDGE, 0, socket.if_nametoindex(name), 0, 0)
    body += pack_attributes([(IFLA_PROTINFO, [(IFLA_BRPORT_ISOLATED, b"\x01")])], nested_flag=True)
    netlink.request(RTM_SETLINK, 0, body, name)


def set_up(netlink: Netlink, index: int, *, mtu: int | None = None) -> None:
    """Set a link up."""
    attributes: list[Attribute] = [(IFLA_MTU, mtu)] if mtu else []
    netlink.request(RTM_NEWLINK, 0, _link_body(attributes, index=index, up=True), "link up")


def delete_link(netlink: Netlink, name: str) -> None:
    """Delete a link (and with a veth its peer)."""
    netlink.request(RTM_DELLINK, 0, _link_body([(IFLA_IFNAME, name)]), name)


def add_address(netlink: Netlink, index: int, address: str) -> None:
    """Give a link an address in CIDR form."""
    interface = ipaddress.ip_interface(address)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    attributes: list[Attribute] = [(IFA_LOCAL, interface.ip.packed), (IFA_ADDRESS, interface.ip.packed)]
    if interface.version == 4:
        attributes.append((IFA_BROADCAST, interface.network.broadcast_address.packed))
    # An IPv6 address is usable at once: we gave it out, nobody else can have it.
    flags = 0 if interface.version == 4 else IFA_F_NODAD
    body = _ADDRESS.pack(family, interface.network.prefixlen, flags, 0, index) + pack_attributes(attributes)
    netlink.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, address)


def add_default_route(netlink: Netlink, index: int, gateway: str) -> None:
    """Send everything that has no better route to `gateway` on the link."""
    via = ipaddress.ip_address(gateway)
    family = socket.AF_INET if via.version == 4 else socket.AF_INET6
    main_table, boot_protocol, universe, unicast = 254, 3, 0, 1
    body = _ROUTE.pack(family, 0, 0, 0, main_table, boot_protocol, universe, unicast, 0)
    body += pack_attributes([(RTA_GATEWAY, via.packed), (RTA_OIF, index)])
    netlink.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, gateway)


def list_addresses(netlink: Netlink, index: int | None = None) -> list[str]:
    """The addresses of this namespace, or of one link, in CIDR form; not the link-local ones that the kernel makes."""
    found = []
    for _kind, body in netlink.dump(RTM_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _family, prefix, _flags, scope, owner = _ADDRESS.unpack_from(body)
        attributes = unpack_attributes(body[_ADDRESS.size :])
        local = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
        if local and index in (None, owner) and scope != RT_SCOPE_LINK:
            found.append(f"{ipaddress.ip_address(local)}/{prefix}")
    return found
