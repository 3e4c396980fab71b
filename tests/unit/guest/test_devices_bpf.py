"""The device filter: the program's bytes, and what it answers when a small BPF machine runs it."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the kernel's BPF", allow_module_level=True)

from atoll_agent.engine.devices import plan_device_rules
from atoll_agent.linux.devices_bpf import ACCESS, TYPES, DeviceRule, build_program

LOAD, MOVE, MOVE_REGISTER, AND, SHIFT, NOT_EQUAL, EXIT = 0x61, 0xB4, 0xBC, 0x54, 0x74, 0x55, 0x95


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """What the program answers: only the instructions it may use, as the kernel defines them."""
    wanted = sum(ACCESS[letter] for letter in access)
    context = struct.pack("=III", wanted << 16 | TYPES[kind], major, minor)
    registers, at = {1: 0}, 0
    for _ in range(len(program) // 8):
        code, pair, offset, immediate = struct.unpack_from("=BBhi", program, at * 8)
        target, source = pair & 15, pair >> 4
        at += 1
        if code == LOAD:
            assert source == 1, "loads are from the context, which must still be in r1"
            registers[target] = struct.unpack_from("=I", context, offset)[0]
        elif code == MOVE:
            registers[target] = immediate & 0xFFFFFFFF
        elif code == MOVE_REGISTER:
            registers[target] = registers[source]
        elif code == AND:
            registers[target] &= immediate & 0xFFFFFFFF
        elif code == SHIFT:
            registers[target] >>= immediate
        elif code == NOT_EQUAL:
            assert offset >= 0, "the kernel allows no way back"
            at += offset if registers[target] != immediate else 0
        else:
            assert code == EXIT
            assert registers[0] in (0, 1)
            return bool(registers[0])
    raise AssertionError("the program runs off its end")


def allowed(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    """What the rules say: the last that matches decides."""
    for rule in reversed(rules):
        if (
            rule.type in ("a", kind)
            and rule.major in (None, major)
            and rule.minor in (None, minor)
            and set(access) <= set(rule.access)
        ):
            return rule.allow
    return False


NUMBERS = st.sampled_from([0, 1, 3, 5, 255, 4095])
ACCESSES = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
RULES = st.builds(DeviceRule, st.booleans(), st.sampled_from("abc"), st.none() | NUMBERS, st.none() | NUMBERS, ACCESSES)


@given(st.lists(RULES, max_size=6), st.sampled_from("bc"), NUMBERS, NUMBERS, ACCESSES)
def test_the_program_answers_what_the_rules_say(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    assert run(build_program(rules), kind, major, minor, access) is allowed(rules, kind, major, minor, access)


def test_no_rule_denies() -> None:
    assert build_program([]).hex() == (
        "6112000000000000"  # r2 = context.access_type
        "bc23000000000000"  # r3 = r2
        "54020000ffff0000"  # r2 &= 0xffff: the type
        "7403000010000000"  # r3 >>= 16: the access
        "6114040000000000"  # r4 = context.major
        "6115080000000000"  # r5 = context.minor
        "b400000000000000"  # deny
        "9500000000000000"
    )


def test_one_rule_as_bytes() -> None:
    prologue, end = build_program([])[:48], build_program([])[48:]
    rule = bytes.fromhex(
        "5502070002000000"  # not a character device: next rule
        "bc31000000000000"  # r1 = r3
        "5401000001000000"  # beyond what is allowed: mknod
        "5501040000000000"
        "5504030001000000"  # major 1
        "5505020003000000"  # minor 3
        "b400000001000000"  # allow
        "9500000000000000"
    )
    assert build_program([DeviceRule(True, "c", 1, 3, "rw")]) == prologue + rule + end


def default_rules() -> list[DeviceRule]:
    planned = plan_device_rules({})
    assert planned is not None
    return [
        DeviceRule(
            rule["allow"],
            rule["type"],
            None if rule["major"] < 0 else rule["major"],
            None if rule["minor"] < 0 else rule["minor"],
            rule["access"],
        )
        for rule in planned
    ]


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "answer"),
    [
        ("c", 1, 3, "rw", True),  # null
        ("c", 1, 5, "r", True),  # zero
        ("c", 1, 9, "rwm", True),  # urandom
        ("c", 5, 0, "rw", True),  # tty
        ("c", 5, 2, "rw", True),  # ptmx
        ("c", 136, 7, "rw", True),  # a terminal
        ("c", 10, 200, "m", True),  # making a node is allowed, using it is not
        ("c", 10, 200, "rw", False),  # tun
        ("c", 1, 1, "r", False),  # mem
        ("c", 1, 3, "rwm", True),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "r", False),  # the disk
        ("b", 1, 3, "rw", False),  # a block device with null's number
    ],
)
def test_the_default_filter(kind: str, major: int, minor: int, access: str, answer: bool) -> None:
    assert run(build_program(default_rules()), kind, major, minor, access) is answer
