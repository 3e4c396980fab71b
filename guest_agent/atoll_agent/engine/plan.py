"""From a container to the plan the runtime carries out. Pure but for names of files: nothing is made here."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

from ..api.errors import invalid
from ..cgroups.hierarchy import Hierarchy
from ..runtime.spec import (
    CgroupSpec,
    ContainerSpec,
    InterfaceSpec,
    MountSpec,
    ProcessSpec,
)
from . import confinement
from .confinement import FilterCache
from .create import DEFAULT_PATH, command_of
from .devices import plan_device_rules, plan_devices
from .log_drivers import plan_log
from .records import Container
from .signals import DEFAULT_STOP_SIGNAL, parse_signal
from .standard_mounts import plan_file, plan_standard, without_taken

NAMESPACES = ["mnt", "pid", "net", "ipc", "uts", "cgroup"]
SHARED = "container:"
_HOST_MODES = (
    ("pid", "PidMode"),
    ("net", "NetworkMode"),
    ("ipc", "IpcMode"),
    ("uts", "UTSMode"),
    ("cgroup", "CgroupnsMode"),
)

_RLIMITS = {
    "core": resource.RLIMIT_CORE, "cpu": resource.RLIMIT_CPU, "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE, "locks": 10, "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE, "nice": resource.RLIMIT_NICE, "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC, "rss": resource.RLIMIT_RSS, "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME, "sigpending": resource.RLIMIT_SIGPENDING, "stack": resource.RLIMIT_STACK,
}  # fmt: skip


def is_shared(mode: str) -> bool:
    """Whether a namespace mode means somebody else's: the machine's, or another container's."""
    return mode == "host" or mode.startswith(SHARED)


def plan_namespaces(host: dict[str, Any]) -> list[str]:
    """The namespaces a container gets of its own."""
    shared = {name for name, key in _HOST_MODES if is_shared(str(host.get(key) or ""))}
    return [name for name in NAMESPACES if name not in shared]


def plan_joins(host: dict[str, Any]) -> dict[str, str]:
    """The namespaces it shares with other containers, and their ids."""
    modes = {name: str(host.get(key) or "") for name, key in _HOST_MODES}
    return {name: mode.removeprefix(SHARED) for name, mode in modes.items() if mode.startswith(SHARED)}


def plan_rlimits(host: dict[str, Any]) -> list[list[int]]:
    """Docker's Ulimits.

    Raises:
        AgentError: an unknown name.
    """
    limits = []
    for item in host.get("Ulimits") or []:
        name = str(item.get("Name") or "")
        if name not in _RLIMITS:
            raise invalid(f"invalid ulimit type: {name}")
        soft, hard = (item.get(key) or 0 for key in ("Soft", "Hard"))
        if not all(isinstance(value, int) and -1 <= value < 1 << 63 for value in (soft, hard)):
            raise invalid(f"invalid ulimit {name}: whole numbers are expected, -1 for no limit")
        if hard != -1 and (soft == -1 or soft > hard):
            raise invalid(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
        limits.append([_RLIMITS[name], soft, hard])
    return limits


def parse_security(options: list[str]) -> tuple[bool, str, bool]:
    """Docker's SecurityOpt: (no-new-privileges, seccomp profile or "", unconfined system paths).

    Raises:
        AgentError: an option this engine does not know.
    """
    no_new_privileges, profile, open_paths = False, "", False
    for option in options:
        key, _, value = option.replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
        if key == "no-new-privileges":
            no_new_privileges = value in ("", "true", "1")
        elif key == "seccomp":
            profile = value
        elif key == "systempaths" and value == "unconfined":
            open_paths = True
        elif key in ("label", "apparmor") and value in ("disable", "unconfined"):
            continue
        elif key == "apparmor":
            raise invalid("apparmor is not enabled on this system")
        else:
            raise invalid(f"invalid --security-opt: {option[:80]!r}")
    return no_new_privileges, profile, open_paths


def plan_seccomp(profile: str, capabilities: int, privileged: bool, filters: FilterCache) -> str:
    """The compiled filter's file; "" for none.

    Raises:
        AgentError: a malformed profile.
    """
    if profile == "unconfined" or (privileged and not profile):
        return ""
    if not profile or profile == "builtin":
        return filters.path_for(None, capabilities)
    try:
        parsed = json.loads(profile)
    except (ValueError, RecursionError) as error:
        raise invalid(f"seccomp profile is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise invalid("seccomp profile is not an object")
    return filters.path_for(parsed, capabilities)


def plan_environment(config: dict[str, Any]) -> list[str]:
    """The container's environment: PATH and HOSTNAME first, TERM with a terminal, then what was asked for."""
    given = list(config.get("Env") or [])
    names = {item.partition("=")[0] for item in given}
    base = [DEFAULT_PATH] if "PATH" not in names else []
    if "HOSTNAME" not in names:
        base.append(f"HOSTNAME={config.get('Hostname') or ''}")
    if config.get("Tty") and "TERM" not in names:
        base.append("TERM=xterm")
    return base + [item for item in given if "=" in item]


def plan_process(config: dict[str, Any], host: dict[str, Any], filters: FilterCache) -> ProcessSpec:
    """The container's first process."""
    privileged = bool(host.get("Privileged"))
    no_new_privileges, profile, _ = parse_security(host.get("SecurityOpt") or [])
    capabilities = confinement.plan_capabilities(
        host.get("CapAdd") or [], host.get("CapDrop") or [], privileged=privileged
    )
    return {
        "args": command_of(config),
        "env": plan_environment(config),
        "cwd": config.get("WorkingDir") or "/",
        "user": config.get("User") or "",
        "groups": list(host.get("GroupAdd") or []),
        "capabilities": capabilities,
        "no_new_privileges": no_new_privileges,
        "seccomp": plan_seccomp(profile, capabilities, privileged, filters),
        "rlimits": plan_rlimits(host),
        "oom_score_adj": host.get("OomScoreAdj") or None,
        "terminal": bool(config.get("Tty")),
        "height": (host.get("ConsoleSize") or [0, 0])[0],
        "width": (host.get("ConsoleSize") or [0, 0])[1],
        "stdin": bool(config.get("OpenStdin")),
        "stdin_once": bool(config.get("StdinOnce")),
    }


def plan_cgroup(container_id: str, writes: list[list[str]], host: dict[str, Any], hierarchy: Hierarchy) -> CgroupSpec:
    """The container's cgroup."""
    directory = hierarchy.directory_for(container_id, str(host.get("CgroupParent") or ""))
    path = str(directory) if directory else ""
    return {"path": path, "writes": writes, "devices": plan_device_rules(host) if path else None}


def plan_container(
    container: Container,
    *,
    directory: Path,
    overlay: Path,
    mount_point: Path,
    hierarchy: Hierarchy,
    writes: list[list[str]],
    interfaces: list[InterfaceSpec],
    resolver: bool,
    filters: FilterCache,
    etc_files: list[MountSpec],
    asked: list[MountSpec],
    init: str,
    variables: list[str],
) -> ContainerSpec:
    """Everything about a start, as one value.

    Arguments:
        directory: the container's directory (for its log).
        overlay: holds `upper` and `work`.
        mount_point: an empty directory.
        writes: its limits.
        interfaces: on bridges.
        resolver: whether it finds others by name.
        etc_files: /etc/hosts and its neighbours.
        asked: the mounts its user asked for.
        init: path of the init program to put in front, "" for none.
        variables: of links, for its environment.
    """
    config, host = container.config, container.host_config
    namespaces = plan_namespaces(host)
    privileged = bool(host.get("Privileged"))
    _, _, open_paths = parse_security(host.get("SecurityOpt") or [])
    masked, read_only = host.get("MaskedPaths"), host.get("ReadonlyPaths")
    if privileged or open_paths:
        masked, read_only = [], []
    process = plan_process(config, host, filters)
    process["env"] = variables + process["env"]
    mounts = plan_standard(host, hierarchy.parent is not None, not is_shared(str(host.get("IpcMode") or "")))
    if init:
        process["args"] = ["/sbin/docker-init", "--", *process["args"]]
        mounts.append(plan_file(init, "/sbin/docker-init", read_only=True))
    if host.get("ReadonlyRootfs"):
        etc_files = [{**mount, "flags": ["ro"]} for mount in etc_files]
    return {
        "id": container.id,
        "hostname": config.get("Hostname") or container.id[:12],
        "domainname": config.get("Domainname") or "",
        "layers": container.layers,
        "upper": str(overlay / "upper"),
        "work": str(overlay / "work"),
        "volatile": container.auto_remove,
        "stop_signal": parse_signal(container.config.get("StopSignal") or DEFAULT_STOP_SIGNAL),
        "mount_point": str(mount_point),
        "read_only": bool(host.get("ReadonlyRootfs")),
        "namespaces": namespaces,
        "joins": plan_joins(host),
        "mounts": without_taken(mounts + etc_files, asked) + asked,
        "devices": plan_devices(host),
        "masked": confinement.MASKED_PATHS if masked is None else masked,
        "read_only_paths": confinement.READ_ONLY_PATHS if read_only is None else read_only,
        "sysctls": {str(k): str(v) for k, v in (host.get("Sysctls") or {}).items()},
        "interfaces": interfaces,
        "resolver": resolver,
        "cgroup": plan_cgroup(container.id, writes, host, hierarchy),
        "log": plan_log(host, directory),
        "process": process,
    }
