"""Every system call of the machine, made in a container: what the filter's own table does not name is refused."""

from __future__ import annotations

import ctypes
import json
import platform
from pathlib import Path
from typing import Any

import pytest

from .conftest import Engine

PYTHON = Path("/usr/bin/python3")
pytestmark = pytest.mark.skipif(
    not PYTHON.exists() or platform.machine() != "x86_64", reason="borrows the host's Python, on amd64"
)
TABLE = Path(__file__).resolve().parents[2] / "guest_agent/atoll_agent/engine/seccomp_default.json"
AMD64 = 0xC000003E
HIGHEST = 470
UNTRIED = {"exit", "exit_group", "fork", "vfork", "rt_sigreturn", "pause", "kill", "tkill", "tgkill", "restart_syscall"}
"""They end, stop or double the one who tries; the filter's unit tests ask for them."""
CONDITIONAL = {"clone", "clone3", "personality", "socket"}

PROBE = """
import ctypes, json, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
for number in json.loads(sys.argv[1]):
    pid = os.fork()
    if pid == 0:
        signal.alarm(2)
        result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
        os._exit(ctypes.get_errno() if result == -1 else 0)
    found[number] = os.waitpid(pid, 0)[1]
print(json.dumps(found))
"""
OLD = r"""
import ctypes, mmap, os, sys
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
number = int(sys.argv[1]).to_bytes(4, "little")
# push rbx; xor ebx, ecx and edx; mov eax, number; int 0x80; pop rbx; ret
page.write(b"\x53\x31\xdb\x31\xc9\x31\xd2\xb8" + number + b"\xcd\x80\x5b\xc3")
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))(), flush=True)
os._exit(0)
"""


def python(engine: Engine, script: str, *arguments: str, **host: Any) -> str:
    """Run a script with the host's Python, which the container sees read-only."""
    binds = [f"{path}:{path}:ro" for path in ("/usr", "/lib", "/lib64")]
    code, out = engine.run("/usr/bin/python3", "-c", script, *arguments, host={"Binds": binds, **host})
    assert code == 0, out
    return out


def numbers() -> dict[int, str]:
    """The machine's system calls, as libseccomp knows them."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("needs libseccomp")
    resolve = library.seccomp_syscall_resolve_num_arch
    resolve.restype = ctypes.c_char_p
    names = {number: resolve(ctypes.c_uint32(AMD64), number) for number in range(HIGHEST)}
    return {number: name.decode() for number, name in names.items() if name and name.decode() not in UNTRIED}


def named() -> set[str]:
    table = json.loads(TABLE.read_text())
    by_capability = [name for key in ("CAP_CHOWN", "CAP_SYS_CHROOT") for name in table["by_capability"].get(key, ())]
    return {*table["allow"], *table["by_architecture"]["amd64"], *by_capability}


def test_what_the_table_does_not_name_is_refused(engine: Engine) -> None:
    table, allowed = numbers(), named()
    ask = json.dumps(list(table))
    filtered = {int(k): v for k, v in json.loads(python(engine, PROBE, ask)).items()}
    free = {int(k): v for k, v in json.loads(python(engine, PROBE, ask, SecurityOpt=["seccomp=unconfined"])).items()}
    refused = {name for number, name in table.items() if filtered[number] >> 8 == 1}
    expected = set(table.values()) - allowed - CONDITIONAL
    assert expected - refused == set()
    alike = {name for number, name in table.items() if name in allowed and filtered[number] == free[number]}
    assert {name for name in table.values() if name in allowed} - alike <= {"getrandom"}
    by_name = {name: number for number, name in table.items()}
    assert filtered[by_name["clone3"]] >> 8 == 38, "so that libc falls back on clone"


@pytest.mark.parametrize("number", [288, 310, 357], ids=["keyctl", "unshare", "bpf"])
def test_the_table_of_32_bit_programs_is_filtered(engine: Engine, number: int) -> None:
    assert int(python(engine, OLD, str(number))) in (-1, -38)


@pytest.mark.parametrize("number", [250, 272, 321], ids=["keyctl", "unshare", "bpf"])
def test_the_x32_table_is_filtered(engine: Engine, number: int) -> None:
    found = json.loads(python(engine, PROBE, json.dumps([0x40000000 | number])))
    assert [status >> 8 for status in found.values()] in ([1], [38])
