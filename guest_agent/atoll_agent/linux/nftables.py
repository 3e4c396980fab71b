"""The messages of nf_tables that the engine needs, as bytes (kernel `uapi/linux/netfilter/nf_tables.h`).

Rules are lists of expressions which work on registers: load something, compare it, then act. Spoken directly, because
the `nft` program and its library cost a process or two megabytes for what is a few hundred bytes here.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Network

from .netlink import NLM_F_APPEND, NLM_F_CREATE, Attribute, pack_attributes

SUBSYSTEM = 10 << 8
NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = 0, 2, 3, 6
NFPROTO_IPV4 = 2

HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = range(5)
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
DROP, ACCEPT = 0, 1

_REGISTER_1 = 1
_REGISTER_VERDICT = 0
META_IIFNAME, META_OIFNAME, META_L4PROTO = 6, 7, 16
_EQUAL, _NOT_EQUAL = 0, 1
_CT_STATE = 0
CT_ESTABLISHED_RELATED = 0b110

Message = tuple[int, int, bytes]


def _u32(value: int) -> bytes:
    return struct.pack(">I", value & 0xFFFFFFFF)


def _message(kind: int, flags: int, attributes: list[Attribute], family: int = NFPROTO_IPV4) -> Message:
    header = struct.pack("=BBH", family, 0, 0)
    return SUBSYSTEM | kind, flags, header + pack_attributes(attributes, nested_flag=True)


def new_table(name: str) -> Message:
    """Add a table (no error when it exists)."""
    return _message(NEWTABLE, NLM_F_CREATE, [(1, name)])


def delete_table(name: str) -> Message:
    """Delete a table with all in it."""
    return _message(DELTABLE, 0, [(1, name)])


def new_chain(table: str, name: str, *, kind: str, hook: int, priority: int, policy: int = ACCEPT) -> Message:
    """Add a base chain at a hook."""
    hook_attributes: list[Attribute] = [(1, _u32(hook)), (2, _u32(priority))]
    return _message(NEWCHAIN, NLM_F_CREATE, [(1, table), (3, name), (4, hook_attributes), (5, _u32(policy)), (7, kind)])


def new_rule(table: str, chain: str, expressions: list[Attribute]) -> Message:
    """Append a rule."""
    return _message(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [(1, table), (2, chain), (4, expressions)])


def _expression(name: str, data: list[Attribute]) -> Attribute:
    return (1, [(1, name), (2, data)])


def _compare(operation: int, value: bytes) -> Attribute:
    return _expression("cmp", [(1, _u32(_REGISTER_1)), (2, _u32(operation)), (3, [(1, value)])])


def match_interface(key: int, name: str, *, is_not: bool = False) -> list[Attribute]:
    """`iifname` or `oifname` (META_...) is (not) a name."""
    load = _expression("meta", [(2, _u32(key)), (1, _u32(_REGISTER_1))])
    return [load, _compare(_NOT_EQUAL if is_not else _EQUAL, name.encode().ljust(16, b"\0"))]


def match_network(network: str, *, source: bool, is_not: bool = False) -> list[Attribute]:
    """The IPv4 source or destination address is (not) in a network."""
    net = IPv4Network(network)
    load = _expression(
        "payload",
        [(1, _u32(_REGISTER_1)), (2, _u32(1)), (3, _u32(12 if source else 16)), (4, _u32(4))],
    )
    mask = _expression(
        "bitwise",
        [
            (1, _u32(_REGISTER_1)),
            (2, _u32(_REGISTER_1)),
            (3, _u32(4)),
            (4, [(1, net.netmask.packed)]),
            (5, [(1, bytes(4))]),
        ],
    )
    return [load, mask, _compare(_NOT_EQUAL if is_not else _EQUAL, net.network_address.packed)]


def match_established() -> list[Attribute]:
    """The connection is established, or related to one that is."""
    load = _expression("ct", [(1, _u32(_REGISTER_1)), (2, _u32(_CT_STATE))])
    bits = struct.pack("=I", CT_ESTABLISHED_RELATED)
    mask = _expression(
        "bitwise",
        [(1, _u32(_REGISTER_1)), (2, _u32(_REGISTER_1)), (3, _u32(4)), (4, [(1, bits)]), (5, [(1, bytes(4))])],
    )
    return [load, mask, _compare(_NOT_EQUAL, bytes(4))]


def masquerade() -> list[Attribute]:
    """Give packets the address of the interface they leave by."""
    return [_expression("masq", [])]


def verdict(code: int) -> list[Attribute]:
    """Accept or drop."""
    value: list[Attribute] = [(2, [(1, _u32(code))])]
    return [_expression("immediate", [(1, _u32(_REGISTER_VERDICT)), (2, value)])]
