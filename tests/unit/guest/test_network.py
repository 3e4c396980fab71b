"""Addresses, and the bytes that netlink and the firewall are spoken to with."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.linux import nftables as nft
from atoll_agent.linux.netlink import NLA_F_NESTED, Attribute, pack_attributes, pack_message, unpack_attributes
from atoll_agent.network import firewall
from atoll_agent.network.addresses import AddressPool, choose_subnet, mac_of

# -- addresses -------------------------------------------------------------------------------


def test_addresses_are_handed_out_in_order_behind_the_gateway() -> None:
    pool = AddressPool("172.17.0.0/16")
    assert (pool.gateway, pool.prefix) == ("172.17.0.1", 16)
    assert [pool.take() for _ in range(3)] == ["172.17.0.2", "172.17.0.3", "172.17.0.4"]


def test_an_address_is_given_out_again_as_late_as_possible() -> None:
    pool = AddressPool("10.0.0.0/29")
    first = [pool.take() for _ in range(3)]
    pool.give_back(first[0])
    assert [pool.take() for _ in range(2)] == ["10.0.0.5", "10.0.0.6"]
    assert pool.take() == first[0]


def test_all_of_a_subnet_but_its_ends_and_its_gateway() -> None:
    pool = AddressPool("10.0.0.0/29")
    assert {pool.take() for _ in range(5)} == {f"10.0.0.{n}" for n in range(2, 7)}
    with pytest.raises(LookupError, match=r"no free address in 10\.0\.0\.0/29"):
        pool.take()
    pool.give_back("10.0.0.4")
    pool.give_back("10.0.0.4")
    assert pool.take() == "10.0.0.4"
    with pytest.raises(LookupError):
        pool.take()


@pytest.mark.parametrize("subnet", ["10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32"])
def test_subnets_that_are_almost_too_small(subnet: str) -> None:
    pool = AddressPool(subnet)
    if subnet.endswith("/30"):
        assert pool.take() == "10.0.0.2"
    with pytest.raises(LookupError):
        pool.take()


def test_an_address_in_use_since_before_is_not_given_out() -> None:
    pool = AddressPool("10.0.0.0/29")
    pool.claim("10.0.0.2")
    pool.claim("10.0.0.2")
    assert pool.take() == "10.0.0.3"


def test_the_gateway_is_never_free() -> None:
    pool = AddressPool("10.0.0.0/30")
    pool.give_back("10.0.0.1")
    assert pool.take() == "10.0.0.2"
    with pytest.raises(LookupError):
        pool.take()


@given(st.lists(st.none() | st.integers(0, 20), max_size=60))
def test_no_address_is_given_to_two(steps: list[int | None]) -> None:
    pool, held = AddressPool("10.0.0.0/28"), []
    for step in steps:
        if step is None and len(held) < 13:
            address = pool.take()
            assert address not in held
            held.append(address)
        elif step is not None and held:
            pool.give_back(held.pop(step % len(held)))


def test_hardware_address() -> None:
    assert mac_of("172.17.0.2") == "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    ("in_use", "chosen"),
    [
        ([], "172.17.0.0/16"),
        (["192.168.1.5/24"], "172.17.0.0/16"),
        (["172.17.5.9/24"], "172.18.0.0/16"),
        (["172.16.0.1/12"], "10.213.0.0/16"),
    ],
)
def test_a_subnet_that_overlaps_nothing(in_use: list[str], chosen: str) -> None:
    assert choose_subnet(["172.17.0.0/16", "172.18.0.0/16", "10.213.0.0/16"], in_use) == chosen


def test_no_subnet_is_free() -> None:
    with pytest.raises(LookupError, match="every subnet"):
        choose_subnet(["172.17.0.0/16"], ["172.17.0.1/16"])


# -- netlink ---------------------------------------------------------------------------------


def test_attributes_as_bytes() -> None:
    packed = pack_attributes([(3, "eth0"), (4, 1500), (1, b"\x02\x42"), (18, [(1, b"veth")])])
    assert packed == struct.pack(
        "=HH5s3x HHI HH2s2x HH HH4s", 9, 3, b"eth0\0", 8, 4, 1500, 6, 1, b"\x02\x42", 12, 18, 8, 1, b"veth"
    )


def test_nests_are_flagged_where_it_is_asked_for() -> None:
    packed = pack_attributes([(4, [(1, [(2, b"")])])], nested_flag=True)
    assert [struct.unpack_from("=HH", packed, at) for at in (0, 4, 8)] == [
        (12, 4 | NLA_F_NESTED),
        (8, 1 | NLA_F_NESTED),
        (4, 2),
    ]


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_come_back_as_they_were(values: dict[int, bytes]) -> None:
    attributes: list[Attribute] = list(values.items())
    packed = pack_attributes(attributes)
    assert len(packed) % 4 == 0
    assert unpack_attributes(packed) == values


@given(st.binary(max_size=60))
def test_any_answer_can_be_taken_apart(data: bytes) -> None:
    assert all(len(value) <= len(data) for value in unpack_attributes(data).values())


def test_message() -> None:
    assert pack_message(16, 0x5, 7, b"abcde") == struct.pack("=IHHII5s3x", 21, 16, 0x5, 7, 0, b"abcde")


# -- firewall --------------------------------------------------------------------------------


def read(data: bytes) -> dict[int, bytes]:
    return unpack_attributes(data)


def number(data: bytes) -> int:
    return int(struct.unpack(">I", data)[0])


def describe_expressions(data: bytes) -> list[str]:
    """A rule's expressions in words, read as the kernel would read them."""
    words, at = [], 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        assert kind == 1 | NLA_F_NESTED
        fields = read(data[at + 4 : at + length])
        words.append(describe(fields[1].rstrip(b"\0").decode(), read(fields[2])))
        at += (length + 3) & ~3
    return words


def describe(name: str, fields: dict[int, bytes]) -> str:
    if name == "meta":
        assert number(fields[1]) == 1
        return {6: "iifname", 7: "oifname", 15: "version", 16: "protocol"}.get(
            number(fields[2]), f"meta {number(fields[2])}"
        )
    if name == "payload":
        return f"payload base {number(fields[2])} offset {number(fields[3])} length {number(fields[4])}"
    if name == "bitwise":
        return f"and {read(fields[4])[1].hex()} xor {read(fields[5])[1].hex()}"
    if name == "cmp":
        return ("==" if number(fields[2]) == 0 else "!=") + " " + read(fields[3])[1].rstrip(b"\0").hex()
    if name == "immediate":
        value = read(fields[2])
        if 2 in value:
            return {0: "drop", 1: "accept"}[number(read(value[2])[1])]
        return f"register {number(fields[1])} = {value[1].hex()}"
    if name == "ct":
        return {0: "ct state", 2: "ct status"}[number(fields[2])]
    if name == "nat":
        return f"nat {[number(fields[n]) for n in sorted(fields)]}"
    return name


def table_of(messages: list[nft.Message]) -> list[Any]:
    """A transaction in words."""
    found: list[Any] = []
    for kind, flags, body in messages:
        assert kind >> 8 == 10
        assert body[:4] == bytes([nft.NFPROTO_INET, 0, 0, 0])
        fields = read(body[4:])
        names = [fields[n].rstrip(b"\0").decode() for n in (1, 2 if kind & 0xFF == nft.NEWRULE else 3) if n in fields]
        if kind & 0xFF == nft.NEWRULE:
            assert flags == 0xC00
            found.append((*names, describe_expressions(fields[4])))
        elif kind & 0xFF == nft.NEWCHAIN:
            hook = {key: number(value) for key, value in read(fields[4]).items()}
            found.append(("chain", *names, fields[7].rstrip(b"\0").decode(), hook[1], hook[2], number(fields[5])))
        else:
            found.append(({0: "add", 2: "delete"}[kind & 0xFF], *names))
    return found


BRIDGE = b"br0".hex()
INTO, OUT_OF = ["oifname", f"== {BRIDGE}"], ["iifname", f"== {BRIDGE}"]
SUBNET = ["version", "== 02", "payload base 1 offset 12 length 4", "and ffff0000 xor 00000000", "== ac11"]
ESTABLISHED = ["ct state", "and 06000000 xor 00000000", "!= "]
REDIRECTED = ["ct status", "and 20000000 xor 00000000", "!= "]
NEW = [("add", "atoll"), ("delete", "atoll"), ("add", "atoll")]
POSTROUTING = ("chain", "atoll", "postrouting", "nat", 4, 100, 1)
FORWARD = ("chain", "atoll", "forward", "filter", 2, 0, 1)


def test_the_table_of_a_bridge() -> None:
    assert table_of(firewall.plan_table("atoll", [firewall.Bridge("br0", ("172.17.0.0/16",))])) == [
        *NEW,
        POSTROUTING,
        ("atoll", "postrouting", ["oifname", f"!= {BRIDGE}", *SUBNET, "masq"]),
        ("atoll", "postrouting", [*INTO, *REDIRECTED, *SUBNET, "masq"]),
        FORWARD,
        ("atoll", "forward", [*INTO, *ESTABLISHED, "accept"]),
        ("atoll", "forward", [*INTO, *REDIRECTED, "accept"]),
        ("atoll", "forward", [*INTO, "iifname", f"!= {BRIDGE}", "drop"]),
    ]


def test_the_table_of_an_internal_bridge_lets_nothing_in_or_out() -> None:
    assert table_of(firewall.plan_table("atoll", [firewall.Bridge("br0", ("172.17.0.0/16",), internal=True)])) == [
        *NEW,
        POSTROUTING,
        FORWARD,
        ("atoll", "forward", [*OUT_OF, "oifname", f"!= {BRIDGE}", "drop"]),
        ("atoll", "forward", [*INTO, "iifname", f"!= {BRIDGE}", "drop"]),
    ]


def test_ports_are_redirected_unless_loopback_asks() -> None:
    ports = [
        firewall.Port("tcp", "10.0.0.5", 8080, "172.17.0.2", 80, "br0"),
        firewall.Port("udp", "", 53, "fd00::2", 53, "br0"),
        firewall.Port("tcp", "127.0.0.1", 81, "172.17.0.2", 80, "br0"),
    ]
    table = table_of(firewall.plan_table("atoll", [], ports))
    local = ["fib", "== 02"]
    rules = [
        ["version", "== 02", "payload base 1 offset 16 length 4", "and ffffffff xor 00000000", "== 0a000005", *local,
         "protocol", "== 06", "payload base 2 offset 2 length 2", "== 1f90",
         "register 1 = ac110002", "register 2 = 0050", "nat [1, 2, 1, 2]"],
        ["version", "== 0a", "version", "== 0a", "payload base 1 offset 24 length 16",
         f"and {'f' * 32} xor {'0' * 32}", f"!= {'0' * 30}01", *local,
         "protocol", "== 11", "payload base 2 offset 2 length 2", "== 0035",
         f"register 1 = fd{'0' * 29}2", "register 2 = 0035", "nat [1, 10, 1, 2]"],
    ]  # fmt: skip
    assert table == [
        *NEW,
        POSTROUTING,
        FORWARD,
        ("chain", "atoll", "prerouting", "nat", 0, -100 & 0xFFFFFFFF, 1),
        *(("atoll", "prerouting", rule) for rule in rules),
        ("chain", "atoll", "output", "nat", 3, -100 & 0xFFFFFFFF, 1),
        *(("atoll", "output", rule) for rule in rules),
    ]


def test_one_message_as_bytes() -> None:
    kind, flags, body = nft.new_chain("t", "c", kind="nat", hook=4, priority=-100)
    assert (kind, flags) == (0xA03, 0x400)
    assert body.hex() == (
        "01000000"  # IPv4 and IPv6
        "0600010074000000"  # table "t"
        "0600030063000000"  # chain "c"
        "14000480"  # the hook, nested
        "0800010000000004"
        "08000200ffffff9c"  # priority -100
        "0800050000000001"  # policy accept
        "080007006e617400"  # type "nat"
    )


def test_interface_names_fill_their_field() -> None:
    _, compare = nft.match_interface(nft.META_OIFNAME, "eth0")
    assert pack_attributes([compare], nested_flag=True).endswith(b"eth0" + bytes(12))
