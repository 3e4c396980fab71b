"""From a create request to what is kept of it: checked, the image's settings merged in, Docker's defaults filled in."""

from __future__ import annotations

import copy
import re
from typing import Any

from ..api.errors import AgentError, Kind, invalid
from ..images.store import Image
from .healthcheck import check_healthcheck, merge_healthcheck
from .restarts import parse_policy
from .settings import check_settings
from .signals import parse_signal

DEFAULT_SHM_BYTES = 64 << 20
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62})", re.ASCII)

_MODES = {
    "PidMode": ("", "private", "host"),
    "IpcMode": ("", "private", "shareable", "none", "host"),
    "UTSMode": ("", "private", "host"),
    "CgroupnsMode": ("", "private", "host"),
}
_STRINGS = ("Hostname", "Domainname", "User", "WorkingDir", "Image", "StopSignal", "MacAddress")
_LISTS = ("Cmd", "Entrypoint", "Env", "OnBuild", "Shell")
_BOOLEANS = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "NetworkDisabled")
_HOST_STRINGS = (
    "NetworkMode", "IpcMode", "PidMode", "UTSMode", "UsernsMode", "CgroupnsMode", "CpusetCpus", "CpusetMems",
    "Runtime", "VolumeDriver", "CgroupParent", "Isolation",
)  # fmt: skip
_HOST_LISTS = (
    "Binds", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "SecurityOpt",
    "VolumesFrom", "Links", "MaskedPaths", "ReadonlyPaths", "DeviceCgroupRules",
)  # fmt: skip
_HOST_OBJECT_LISTS = (
    "Mounts", "Devices", "Ulimits", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps", "BlkioWeightDevice", "DeviceRequests",
)  # fmt: skip
_HOST_NUMBERS = (
    "Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "CpuPeriod", "CpuQuota", "PidsLimit",
    "BlkioWeight", "OomScoreAdj", "ShmSize", "MemorySwappiness", "KernelMemory", "KernelMemoryTCP",
    "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth",
)  # fmt: skip
_HOST_BOOLEANS = ("AutoRemove", "Privileged", "ReadonlyRootfs", "PublishAllPorts", "OomKillDisable", "Init")


def check_request(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Split a request body into Config, HostConfig and endpoints; every field we use has the right type.

    Raises:
        AgentError: a field of the wrong type, or a request this engine does not carry out (said, never ignored).
    """
    config = {k: copy.deepcopy(v) for k, v in body.items() if k not in ("HostConfig", "NetworkingConfig")}
    host = copy.deepcopy(_object(body, "HostConfig"))
    networking = _object(body, "NetworkingConfig")
    if not config:
        raise invalid("config cannot be empty in order to create a container")
    for key in ("Cmd", "Entrypoint", "Shell"):
        if isinstance(config.get(key), str):
            config[key] = [config[key]]
    _check(config, _STRINGS, str, "a string")
    _check(config, _BOOLEANS, bool, "true or false")
    _check(host, _HOST_STRINGS, str, "a string")
    _check(host, _HOST_BOOLEANS, bool, "true or false")
    _check(host, _HOST_NUMBERS, int, "a whole number")
    for where, names in ((config, _LISTS), (host, _HOST_LISTS)):
        _check_lists(where, names, str, "a list of strings")
    _check_lists(host, _HOST_OBJECT_LISTS, dict, "a list of objects")
    objects: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
        (config, ("Labels", "Volumes", "ExposedPorts", "Healthcheck")),
        (host, ("Tmpfs", "Sysctls", "LogConfig", "RestartPolicy", "PortBindings", "StorageOpt", "Annotations")),
    )
    for fields, members in objects:
        for name in members:
            _object(fields, name)
    for fields, name in ((config, "Labels"), (host, "Tmpfs"), (host, "Sysctls")):
        if not all(isinstance(value, str) for value in _object(fields, name).values()):
            raise invalid(f"invalid {name}: strings are expected")
    _check_lists(_object(config, "Healthcheck"), ("Test",), str, "a list of strings")
    _object(_object(host, "LogConfig"), "Config")
    _check_values(config, host)
    endpoints = _object(networking, "EndpointsConfig")
    return config, host, endpoints


def _object(where: dict[str, Any], name: str) -> dict[str, Any]:
    value = where.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"invalid {name}: an object is expected")
    return value


def _check(where: dict[str, Any], names: tuple[str, ...], kind: type, text: str) -> None:
    for name in names:
        value = where.get(name)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise invalid(f"invalid {name}: {text} is expected")
        if isinstance(value, int) and abs(value) >> 63:
            raise invalid(f"invalid {name}: {text} is expected")
        if isinstance(value, str):
            _check_text(name, value)


def _check_lists(where: dict[str, Any], names: tuple[str, ...], kind: type, text: str) -> None:
    for name in names:
        value = where.get(name)
        if value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise invalid(f"invalid {name}: {text} is expected")
        for item in value:
            if isinstance(item, str):
                _check_text(name, item)


def _check_text(name: str, value: str) -> None:
    if "\0" in value:
        raise invalid(f"invalid {name}: NUL byte")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell half a character; no file and no program can
        raise invalid(f"invalid {name}: not text") from None


def _check_values(config: dict[str, Any], host: dict[str, Any]) -> None:
    for item in config.get("Env") or []:
        if item.startswith("=") or not item:
            raise invalid(f"invalid environment variable: {item}")
    hostname = config.get("Hostname") or ""
    if hostname and not _HOSTNAME.fullmatch(hostname):
        raise invalid(f"invalid hostname format: {hostname[:80]}")
    directory = config.get("WorkingDir") or ""
    if directory and not directory.startswith("/"):
        raise invalid(f"the working directory '{directory}' is invalid, it needs to be an absolute path")
    adjustment = host.get("OomScoreAdj") or 0
    if not -1000 <= adjustment <= 1000:
        raise invalid(f"Invalid value {adjustment}, range for oom score adj is [-1000, 1000]")
    if (host.get("ShmSize") or 0) < 0:
        raise invalid("SHM size can not be less than 0")
    size = host.get("ConsoleSize") or [0, 0]
    if not isinstance(size, list) or [isinstance(n, int) and 0 <= n < 65536 for n in size] != [True, True]:
        raise invalid("invalid ConsoleSize: height and width are expected")
    if config.get("StopSignal"):
        parse_signal(config["StopSignal"])
    parse_policy(host.get("RestartPolicy"), auto_remove=bool(host.get("AutoRemove")))
    check_healthcheck(config.get("Healthcheck"))
    _check_supported(config, host)


def _check_supported(config: dict[str, Any], host: dict[str, Any]) -> None:
    """What this engine cannot do yet is refused with its name, so that nobody relies on a setting that does nothing."""
    if host.get("UsernsMode") not in (None, "", "host"):
        raise AgentError(Kind.NOT_IMPLEMENTED, "user namespaces are not supported by this version of Atoll")
    check_settings(host)
    for key, known in _MODES.items():
        mode = host.get(key) or ""
        if mode not in known and not (mode.startswith("container:") and key in ("PidMode", "IpcMode")):
            raise invalid(f"invalid {key}: {mode[:80]!r}")
    if (host.get("Runtime") or "atoll") not in ("atoll", "runc", "io.containerd.runc.v2"):
        raise invalid(f"unknown or invalid runtime name: {host['Runtime']}")


def merge_config(config: dict[str, Any], image: Image, container_id: str) -> dict[str, Any]:
    """Docker's rules for what a container inherits from its image.

    Raises:
        AgentError: neither names a command.
    """
    base = image.run_config
    merged = dict(config)
    entrypoint = config.get("Entrypoint")
    if entrypoint is None:
        merged["Entrypoint"] = base.get("Entrypoint")
        if not config.get("Cmd"):
            merged["Cmd"] = base.get("Cmd")
    elif entrypoint in ([], [""]):
        merged["Entrypoint"] = None
        if not entrypoint and not config.get("Cmd"):
            merged["Cmd"] = base.get("Cmd")
    if not (merged.get("Entrypoint") or merged.get("Cmd")):
        raise invalid("no command specified")
    given = {item.partition("=")[0] for item in config.get("Env") or []}
    merged["Env"] = list(config.get("Env") or []) + [
        item for item in base.get("Env") or [] if item.partition("=")[0] not in given
    ]
    for key in ("User", "WorkingDir", "StopSignal"):
        merged[key] = config.get(key) or base.get(key) or ""
    merged["Labels"] = {**(base.get("Labels") or {}), **(config.get("Labels") or {})}
    merged["ExposedPorts"] = {**(base.get("ExposedPorts") or {}), **(config.get("ExposedPorts") or {})} or None
    merged["Volumes"] = {**(base.get("Volumes") or {}), **(config.get("Volumes") or {})} or None
    merged["Healthcheck"] = merge_healthcheck(config.get("Healthcheck"), base.get("Healthcheck"))
    merged["Hostname"] = config.get("Hostname") or container_id[:12]
    merged.setdefault("Domainname", "")
    for key in _BOOLEANS:
        merged.setdefault(key, False)
    return merged


def fill_host_config(host: dict[str, Any]) -> dict[str, Any]:
    """Docker's defaults where the request says nothing."""
    filled = dict(host)
    if filled.get("NetworkMode") in (None, "", "default"):
        filled["NetworkMode"] = "bridge"
    if not filled.get("ShmSize"):
        filled["ShmSize"] = DEFAULT_SHM_BYTES
    if filled.get("Memory") and not filled.get("MemorySwap"):
        filled["MemorySwap"] = 2 * filled["Memory"]
    for key in ("IpcMode", "CgroupnsMode"):
        filled[key] = filled.get(key) or "private"
    log_config = dict(filled.get("LogConfig") or {})
    filled["LogConfig"] = {"Type": log_config.get("Type") or "json-file", "Config": log_config.get("Config") or {}}
    if filled.get("MemorySwappiness") == -1:  # dockerd's word for "not said"
        filled["MemorySwappiness"] = None
    filled["Runtime"] = filled.get("Runtime") or "runc"
    filled.setdefault("RestartPolicy", {"Name": "no", "MaximumRetryCount": 0})
    for key in ("PidMode", "UTSMode", "UsernsMode"):
        filled.setdefault(key, "")
    return filled


def command_of(config: dict[str, Any]) -> list[str]:
    """Entrypoint and Cmd together."""
    return [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
