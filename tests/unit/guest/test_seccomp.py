"""Seccomp filters: compiled, then asked what they answer."""

from __future__ import annotations

import contextlib
import ctypes
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("seccomp is Linux's", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.engine.confinement import (
    ALL,
    FilterCache,
    build_default_profile,
    compile_profile,
    mask_of,
)
from atoll_agent.engine.plan import parse_security, plan_seccomp
from atoll_agent.images.store import NATIVE_ARCHITECTURE

try:
    ctypes.CDLL("libseccomp.so.2")
    LIBSECCOMP = True
except OSError:
    LIBSECCOMP = False
needs_libseccomp = pytest.mark.skipif(not LIBSECCOMP, reason="needs libseccomp")
needs_amd64 = pytest.mark.skipif(NATIVE_ARCHITECTURE != "amd64", reason="system call numbers of amd64")

DEFAULT = 0xA80425FB
"""What /proc/self/status shows as CapEff in a container of Docker's."""


# -- seccomp ---------------------------------------------------------------------------------

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
AMD64, I386 = 0xC000003E, 0x40000003


def ask(program: bytes, number: int, *arguments: int, architecture: int = AMD64) -> int:
    """What a filter answers: a machine for the classic BPF that libseccomp writes."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *(arguments + (0,) * 6)[:6])
    value, at = 0, 0
    while True:
        code, yes, no, constant = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            value = struct.unpack_from("=I", data, constant)[0]
        elif code == 0x54:
            value &= constant
        elif code == 0x05:
            at += constant
        elif code == 0x06:
            return constant
        else:
            holds = {
                0x15: value == constant,
                0x25: value > constant,
                0x35: value >= constant,
                0x45: bool(value & constant),
            }[code]
            at += yes if holds else no


READ, SOCKET, CLONE, PERSONALITY, MOUNT, UNSHARE, KEYCTL, BPF, CLONE3, TIME_SET = (
    0, 41, 56, 135, 165, 272, 250, 321, 435, 227,
)  # fmt: skip
NEW_USER = 0x10000000


@pytest.fixture(scope="module")
def default() -> bytes:
    return compile_profile(build_default_profile(DEFAULT), DEFAULT)


@needs_libseccomp
@needs_amd64
@pytest.mark.parametrize(
    ("number", "arguments", "answer"),
    [
        (READ, (), ALLOW),
        (MOUNT, (), ERRNO | 1),
        (UNSHARE, (), ERRNO | 1),
        (KEYCTL, (), ERRNO | 1),
        (BPF, (), ERRNO | 1),
        (TIME_SET, (), ERRNO | 1),
        (CLONE, (17,), ALLOW),
        (CLONE, (17 | NEW_USER,), ERRNO | 1),
        (CLONE, (17 | 0x20000,), ERRNO | 1),
        (CLONE3, (), ERRNO | 38),
        (SOCKET, (2,), ALLOW),
        (SOCKET, (38,), ERRNO | 1),
        (SOCKET, (39,), ALLOW),
        (SOCKET, (40,), ERRNO | 1),
        (PERSONALITY, (0,), ALLOW),
        (PERSONALITY, (0xFFFFFFFF,), ALLOW),
        (PERSONALITY, (0x40000,), ERRNO | 1),
        (999, (), ERRNO | 1),
    ],
)
def test_the_default_filter(default: bytes, number: int, arguments: tuple[int, ...], answer: int) -> None:
    assert ask(default, number, *arguments) == answer


@needs_libseccomp
@needs_amd64
def test_the_other_tables_of_the_machine_are_filtered_too(default: bytes) -> None:
    i386_read, i386_mount = 3, 21
    assert ask(default, i386_read, architecture=I386) == ALLOW
    assert ask(default, i386_mount, architecture=I386) == ERRNO | 1
    assert ask(default, 1, architecture=0x12345678) not in (ALLOW,)


@needs_libseccomp
@needs_amd64
@pytest.mark.parametrize(
    ("capability", "number", "arguments"),
    [
        ("SYS_ADMIN", MOUNT, ()),
        ("SYS_ADMIN", UNSHARE, ()),
        ("SYS_ADMIN", CLONE, (17 | NEW_USER,)),
        ("BPF", BPF, ()),
        ("SYS_TIME", TIME_SET, ()),
    ],
)
def test_a_capability_unlocks_its_calls(
    default: bytes, capability: str, number: int, arguments: tuple[int, ...]
) -> None:
    more = DEFAULT | mask_of([capability])
    assert ask(default, number, *arguments) == ERRNO | 1
    assert ask(compile_profile(build_default_profile(more), more), number, *arguments) == ALLOW


@needs_libseccomp
@needs_amd64
def test_a_dropped_capability_locks_its_calls(default: bytes) -> None:
    chroot = 161
    less = DEFAULT & ~mask_of(["SYS_CHROOT"])
    assert ask(default, chroot) == ALLOW
    assert ask(compile_profile(build_default_profile(less), less), chroot) == ERRNO | 1


@needs_libseccomp
@needs_amd64
def test_a_profile_of_ones_own() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
            {"name": "chmod", "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "includes": {"arches": ["arm64"]}},
        ],
    }
    plain, admin = (compile_profile(profile, mask) for mask in (0, mask_of(["SYS_ADMIN"])))
    assert ask(plain, 83) == ERRNO | 5
    assert ask(plain, 90) == 0x80000000
    assert [ask(plain, READ, descriptor) for descriptor in (6, 7, 8)] == [ALLOW, ERRNO | 1, ALLOW]
    assert (ask(plain, MOUNT), ask(admin, MOUNT)) == (ERRNO | 1, ALLOW)
    assert (ask(plain, BPF), ask(admin, BPF)) == (ALLOW, ERRNO | 1)
    assert ask(plain, KEYCTL) == ALLOW


@needs_libseccomp
@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"defaultAction": 5},
        {"defaultAction": []},
        {"defaultAction": "SCMP_ACT_NOTHING"},
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": "x"},
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": []},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 5},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ["read"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [5], "action": "SCMP_ACT_KILL"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_TRACE"}]},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 1, "op": "=="}]}
            ],
        },
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {
                    "names": ["read"],
                    "action": "SCMP_ACT_KILL",
                    "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}],
                }
            ],
        },
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "includes": {"caps": ["NOTHING"]}}],
        },
    ],
)
def test_malformed_profiles(profile: dict[str, Any]) -> None:
    with pytest.raises(AgentError) as caught:
        compile_profile(profile, 0)
    assert caught.value.status == 400


WORDS = st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_CMP_EQ", "read", "CAP_BPF", "x"])
KEYS = st.sampled_from(["action", "names", "args", "errnoRet", "includes", "excludes", "caps", "index", "op", "value"])
ANY = st.recursive(
    WORDS | st.integers(-2, 1 << 65) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@needs_libseccomp
@settings(max_examples=80)
@given(WORDS, st.lists(st.dictionaries(KEYS, ANY, max_size=5), max_size=2))
def test_any_profile_compiles_or_is_a_bad_request(action: str, rules: list[dict[str, Any]]) -> None:
    with contextlib.suppress(AgentError):
        assert compile_profile({"defaultAction": action, "syscalls": rules}, DEFAULT)


# -- what a request says ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parsed"),
    [
        ([], (False, "", False)),
        (["no-new-privileges"], (True, "", False)),
        (["no-new-privileges=true"], (True, "", False)),
        (["no-new-privileges:true"], (True, "", False)),
        (["no-new-privileges=false"], (False, "", False)),
        (["seccomp=unconfined"], (False, "unconfined", False)),
        (["seccomp:unconfined"], (False, "unconfined", False)),
        (['seccomp={"defaultAction": "a=b"}'], (False, '{"defaultAction": "a=b"}', False)),
        (["systempaths=unconfined"], (False, "", True)),
        (["label=disable", "apparmor=unconfined", "label:disable"], (False, "", False)),
    ],
)
def test_security_options(options: list[str], parsed: tuple[bool, str, bool]) -> None:
    assert parse_security(options) == parsed


@pytest.mark.parametrize(
    "option", ["", "nothing", "nothing=1", "systempaths=all", "label=type:x", "apparmor=docker-default", "seccomp2=x"]
)
def test_unknown_security_options(option: str) -> None:
    with pytest.raises(AgentError) as caught:
        parse_security([option])
    assert caught.value.status == 400


def test_where_no_filter_is_wanted_none_is_made(tmp_path: Path) -> None:
    filters = FilterCache(tmp_path)
    assert plan_seccomp("unconfined", DEFAULT, False, filters) == ""
    assert plan_seccomp("", ALL, True, filters) == ""
    assert list(tmp_path.iterdir()) == []


@needs_libseccomp
def test_a_filter_is_compiled_once_and_for_each_capability_set(tmp_path: Path) -> None:
    filters = FilterCache(tmp_path)
    first = plan_seccomp("", DEFAULT, False, filters)
    assert plan_seccomp("builtin", DEFAULT, False, filters) == first
    assert FilterCache(tmp_path).path_for(None, DEFAULT) == first
    assert plan_seccomp("", 0, False, filters) != first
    own = plan_seccomp(json.dumps({"defaultAction": "SCMP_ACT_LOG"}), DEFAULT, True, filters)
    assert own != first
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("profile", ["{", "[]", "5", "null", '"x"', "default", "[" * 100_000])
def test_a_profile_that_is_no_object(tmp_path: Path, profile: str) -> None:
    with pytest.raises(AgentError, match="seccomp profile is not") as caught:
        plan_seccomp(profile, DEFAULT, False, FilterCache(tmp_path))
    assert caught.value.status == 400
