"""The messages of nf_tables that the engine needs, as bytes (kernel `uapi/linux/netfilter/nf_tables.h`).

Rules are lists of expressions which work on registers: load something, compare it, then act. Spoken directly, because
the `nft` program and its library cost a process or two megabytes for what is a few hundred bytes here.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

from .netlink import NLM_F_APPEND, NLM_F_CREATE, Attribute, pack_attributes

SUBSYSTEM = 10 << 8
NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = 0, 2, 3, 6
NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 1, 2, 10

HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = range(5)
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
DROP, ACCEPT = 0, 1
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

META_IIFNAME, META_OIFNAME, META_NFPROTO, META_L4PROTO = 6, 7, 15, 16
CT_ESTABLISHED_RELATED = 0b110
CT_DESTINATION_CHANGED = 0x20

_REGISTER_1, _REGISTER_2 = 1, 2
_REGISTER_VERDICT = 0
_EQUAL, _NOT_EQUAL = 0, 1
_CT_STATE, _CT_STATUS = 0, 2
_PAYLOAD_NETWORK, _PAYLOAD_TRANSPORT = 1, 2
_FIB_ADDRESS_TYPE, _FIB_OF_DESTINATION, _LOCAL = 3, 2, 2
_NAT_DESTINATION = 1

Message = tuple[int, int, bytes]
Expressions = list[Attribute]


def _u32(value: int) -> bytes:
    return struct.pack(">I", value & 0xFFFFFFFF)


def _message(kind: int, flags: int, attributes: list[Attribute], family: int = NFPROTO_INET) -> Message:
    header = struct.pack("=BBH", family, 0, 0)
    return SUBSYSTEM | kind, flags, header + pack_attributes(attributes, nested_flag=True)


def new_table(name: str) -> Message:
    """Add a table for IPv4 and IPv6 (no error when it exists)."""
    return _message(NEWTABLE, NLM_F_CREATE, [(1, name)])


def delete_table(name: str) -> Message:
    """Delete a table with all in it."""
    return _message(DELTABLE, 0, [(1, name)])


def new_chain(table: str, name: str, *, kind: str, hook: int, priority: int, policy: int = ACCEPT) -> Message:
    """Add a base chain at a hook."""
    hook_attributes: list[Attribute] = [(1, _u32(hook)), (2, _u32(priority))]
    return _message(NEWCHAIN, NLM_F_CREATE, [(1, table), (3, name), (4, hook_attributes), (5, _u32(policy)), (7, kind)])


def new_rule(table: str, chain: str, expressions: Expressions) -> Message:
    """Append a rule."""
    return _message(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [(1, table), (2, chain), (4, expressions)])


def _expression(name: str, data: list[Attribute]) -> Attribute:
    return (1, [(1, name), (2, data)])


def _compare(operation: int, value: bytes) -> Attribute:
    return _expression("cmp", [(1, _u32(_REGISTER_1)), (2, _u32(operation)), (3, [(1, value)])])


def _load_meta(key: int) -> Attribute:
    return _expression("meta", [(2, _u32(key)), (1, _u32(_REGISTER_1))])


def _load_payload(base: int, offset: int, size: int) -> Attribute:
    return _expression("payload", [(1, _u32(_REGISTER_1)), (2, _u32(base)), (3, _u32(offset)), (4, _u32(size))])


def _mask(value: bytes) -> Attribute:
    """Keep the bits of register 1 that are set in `value`."""
    return _expression(
        "bitwise",
        [
            (1, _u32(_REGISTER_1)),
            (2, _u32(_REGISTER_1)),
            (3, _u32(len(value))),
            (4, [(1, value)]),
            (5, [(1, bytes(len(value)))]),
        ],
    )


def match_interface(key: int, name: str, *, is_not: bool = False) -> Expressions:
    """`iifname` or `oifname` (META_...) is (not) a name."""
    return [_load_meta(key), _compare(_NOT_EQUAL if is_not else _EQUAL, name.encode().ljust(16, b"\0"))]


def match_network(network: str, *, source: bool, is_not: bool = False) -> Expressions:
    """The packet is of the network's IP version, and its source or destination is (not) in the network."""
    net = ip_network(network)
    if net.version == 4:
        family, offset, size = NFPROTO_IPV4, 12 if source else 16, 4
    else:
        family, offset, size = NFPROTO_IPV6, 8 if source else 24, 16
    address = _compare(_NOT_EQUAL if is_not else _EQUAL, net.network_address.packed)
    loaded = _load_payload(_PAYLOAD_NETWORK, offset, size)
    return [_load_meta(META_NFPROTO), _compare(_EQUAL, bytes((family,))), loaded, _mask(net.netmask.packed), address]


def match_established() -> Expressions:
    """The connection is established, or related to one that is."""
    return _match_connection(_CT_STATE, CT_ESTABLISHED_RELATED)


def match_redirected() -> Expressions:
    """The connection's destination was changed by a rule of ours."""
    return _match_connection(_CT_STATUS, CT_DESTINATION_CHANGED)


def _match_connection(key: int, bits: int) -> Expressions:
    load = _expression("ct", [(1, _u32(_REGISTER_1)), (2, _u32(key))])
    return [load, _mask(struct.pack("=I", bits)), _compare(_NOT_EQUAL, bytes(4))]


def match_local() -> Expressions:
    """The destination is an address of this machine."""
    load = _expression("fib", [(1, _u32(_REGISTER_1)), (2, _u32(_FIB_ADDRESS_TYPE)), (3, _u32(_FIB_OF_DESTINATION))])
    return [load, _compare(_EQUAL, struct.pack("=I", _LOCAL))]


def match_port(protocol: str, port: int) -> Expressions:
    """The packet goes to a port."""
    return [
        _load_meta(META_L4PROTO),
        _compare(_EQUAL, bytes((PROTOCOLS[protocol],))),
        _load_payload(_PAYLOAD_TRANSPORT, 2, 2),
        _compare(_EQUAL, struct.pack(">H", port)),
    ]


def match_family(version: int) -> Expressions:
    """The packet is IPv4 or IPv6."""
    family = NFPROTO_IPV4 if version == 4 else NFPROTO_IPV6
    return [_load_meta(META_NFPROTO), _compare(_EQUAL, bytes((family,)))]


def masquerade() -> Expressions:
    """Give packets the address of the interface they leave by."""
    return [_expression("masq", [])]


def redirect_to(address: str, port: int) -> Expressions:
    """Change the destination."""
    target = ip_address(address)
    return [
        _immediate(_REGISTER_1, target.packed),
        _immediate(_REGISTER_2, struct.pack(">H", port)),
        _expression(
            "nat",
            [
                (1, _u32(_NAT_DESTINATION)),
                (2, _u32(NFPROTO_IPV4 if target.version == 4 else NFPROTO_IPV6)),
                (3, _u32(_REGISTER_1)),
                (5, _u32(_REGISTER_2)),
            ],
        ),
    ]


def _immediate(register: int, value: bytes) -> Attribute:
    return _expression("immediate", [(1, _u32(register)), (2, [(1, value)])])


def verdict(code: int) -> Expressions:
    """Accept or drop."""
    value: list[Attribute] = [(2, [(1, _u32(code))])]
    return [_expression("immediate", [(1, _u32(_REGISTER_VERDICT)), (2, value)])]
