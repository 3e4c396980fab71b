"""What a container may do: its capabilities, its seccomp filter, and the parts of /proc and /sys it sees.

The defaults are Docker's: fourteen capabilities, a list of allowed system calls with a few conditions, and masks for
the files of the kernel that are not namespaced.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from ..api.errors import AgentError, Kind, invalid
from ..disk import write_atomically
from ..images.store import NATIVE_ARCHITECTURE
from ..linux import libseccomp

CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
DEFAULT_CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]
ALL = (1 << len(CAPABILITIES)) - 1

MASKED_PATHS = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
]  # fmt: skip
READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
MAX_PROFILE = 1 << 20


def mask_of(names: list[str]) -> int:
    """The bits of capability names.

    Raises:
        AgentError: an unknown name, in Docker's words.
    """
    mask = 0
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain not in CAPABILITIES:
            raise invalid(f'invalid capability: unknown capability: "CAP_{plain}"')
        mask |= 1 << CAPABILITIES.index(plain)
    return mask


def plan_capabilities(add: list[str], drop: list[str], *, privileged: bool) -> int:
    """The bounding set that Docker's CapAdd and CapDrop ask for."""
    if privileged:
        return ALL
    upper_add, upper_drop = [a.upper() for a in add], [d.upper() for d in drop]
    mask = ALL if "ALL" in upper_add else 0 if "ALL" in upper_drop else mask_of(DEFAULT_CAPABILITIES)
    mask |= mask_of([a for a in upper_add if a != "ALL"])
    return mask & ~mask_of([d for d in upper_drop if d != "ALL"])


def build_default_profile(capabilities: int) -> dict[str, Any]:
    """Docker's default profile for a capability set, in the form of `compile_profile`."""
    table = _load_table()
    names = list(table["allow"]) + list(table["by_architecture"].get(NATIVE_ARCHITECTURE, ()))
    for capability, unlocked in table["by_capability"].items():
        if capabilities & mask_of([capability]):
            names += unlocked
    rules: list[dict[str, Any]] = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    # Every socket family but AF_ALG (38) and AF_VSOCK (40); every personality that only changes appearances.
    for op, value in (("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40)):
        rules.append(_conditional("socket", op, value))
    for value in (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF):
        rules.append(_conditional("personality", "SCMP_CMP_EQ", value))
    if not capabilities & mask_of(["SYS_ADMIN"]):
        # clone without any CLONE_NEW flag; clone3's flags cannot be seen by a filter: libc falls back on ENOSYS.
        rules.append(_conditional("clone", "SCMP_CMP_MASKED_EQ", 0x7E020000, 0))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": rules}


def _conditional(name: str, op: str, value: int, second: int = 0) -> dict[str, Any]:
    argument = {"index": 0, "value": value, "valueTwo": second, "op": op}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}


@functools.cache
def _load_table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "seccomp_default.json").read_text())
    return table


_ACTIONS = {
    "SCMP_ACT_ALLOW": libseccomp.SCMP_ACT_ALLOW,
    "SCMP_ACT_LOG": libseccomp.SCMP_ACT_LOG,
    "SCMP_ACT_KILL": libseccomp.SCMP_ACT_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": libseccomp.SCMP_ACT_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": libseccomp.SCMP_ACT_KILL_PROCESS,
    "SCMP_ACT_TRAP": libseccomp.SCMP_ACT_TRAP,
}
_SIBLINGS = {"amd64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"), "arm64": ("SCMP_ARCH_ARM",)}


def _action(name: str, errno: Any) -> int:
    if name == "SCMP_ACT_ERRNO":
        return libseccomp.errno_action(1 if errno is None else int(errno))
    try:
        return _ACTIONS[name]
    except KeyError:
        raise invalid(f"seccomp: unsupported action {name!r}") from None


def compile_profile(profile: dict[str, Any], capabilities: int) -> bytes:
    """Compile a profile of Docker's form.

    Arguments:
        capabilities: decide which rules with `includes` and `excludes` hold.

    Raises:
        AgentError: a malformed profile, or no libseccomp.
    """
    try:
        default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        filter_ = libseccomp.Filter(default)
    except OSError as error:
        raise AgentError(
            Kind.SYSTEM, "seccomp needs libseccomp.so.2 (package libseccomp2); see `atoll doctor`"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(f"seccomp: malformed profile: {error}") from error
    try:
        for name in _SIBLINGS.get(NATIVE_ARCHITECTURE, ()):
            filter_.add_architecture(name)
        for rule in profile.get("syscalls") or []:
            if _holds(rule, capabilities):
                _add(filter_, rule, default)
        return filter_.export()
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise invalid(f"seccomp: malformed profile: {error!r}") from error
    finally:
        filter_.close()


def _holds(rule: dict[str, Any], capabilities: int) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if any(not capabilities & mask_of([c]) for c in includes.get("caps") or ()):
        return False
    if any(capabilities & mask_of([c]) for c in excludes.get("caps") or ()):
        return False
    if includes.get("arches") and NATIVE_ARCHITECTURE not in includes["arches"]:
        return False
    return NATIVE_ARCHITECTURE not in (excludes.get("arches") or ())


def _add(filter_: libseccomp.Filter, rule: dict[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        return
    arguments = [
        (int(a["index"]), str(a["op"]), int(a["value"]), int(a.get("valueTwo") or 0)) for a in rule.get("args") or ()
    ]
    for name in rule.get("names") or [rule["name"]]:
        filter_.add_rule(action, name, arguments)


class FilterCache:
    """Compiled filters as files named by what they were compiled from; compiling costs 1 ms, emulated 50.

    Thread-safe.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()

    def path_for(self, profile: dict[str, Any] | None, capabilities: int) -> str:
        """The file with the filter of a profile (None: the default) for a capability set."""
        text = "" if profile is None else json.dumps(profile, sort_keys=True)
        if (text, capabilities) in self._known:
            return self._known[text, capabilities]
        whole = build_default_profile(capabilities) if profile is None else profile
        key = json.dumps([whole, capabilities, NATIVE_ARCHITECTURE], sort_keys=True).encode()
        path = self._directory / f"{hashlib.sha256(key).hexdigest()[:32]}.bpf"
        with self._lock:  # containers that start at the same time want the same filter
            if not path.exists():
                write_atomically(path, compile_profile(whole, capabilities), durable=False)
        self._known[text, capabilities] = str(path)
        return str(path)
