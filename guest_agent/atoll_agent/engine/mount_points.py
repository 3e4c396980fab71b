"""From a request's Binds and Mounts to mount points, in Docker's shape and with its errors. Pure: nothing is made here.

A point has what inspect shows (Type, Name, Source, Destination, Driver, Mode, RW, Propagation), and under `Spec` the
mount as it was asked for.
"""

from __future__ import annotations

import json
import os
import posixpath
from typing import Any

from ..api.errors import AgentError, invalid

Point = dict[str, Any]
SHOWN = ("Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation")

DOCKER_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
"""Where containers look for the engine; where nothing is there, this engine's own socket stands in."""

_ACCESS, _LABELS, _COPY = ("ro", "rw"), ("z", "Z"), ("nocopy",)
PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_CONSISTENCY = ("consistent", "cached", "delegated", "default")
_MODES = (_ACCESS, _LABELS, _COPY, PROPAGATIONS, _CONSISTENCY)
_OPTIONS = {
    "BindOptions": ("bind", ("NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive")),
    "VolumeOptions": ("volume", ("NoCopy",)),
    "ImageOptions": ("image", ()),
    "TmpfsOptions": ("tmpfs", ()),
    "ClusterOptions": ("cluster", ()),
}
# Files of /proc that programs like lxcfs replace; nothing the engine relies on is among them.
_PROC_FILES = (
    "cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime",
    "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled",
)  # fmt: skip


def shown(point: Point) -> Point:
    """A point as inspect shows it."""
    return {key: point[key] for key in SHOWN if key in point}


def is_mode(text: str) -> bool:
    """Whether all words of a bind's mode are known, and none contradicts another."""
    words = text.split(",") if text else []
    return all(any(word in kind for kind in _MODES) for word in words) and not any(
        sum(word in kind for word in words) > 1 for kind in _MODES
    )


def clean_target(path: str, *, kind: str = "", source: str = "") -> str:
    """A mount's place in its normal form.

    Arguments:
        kind: of the mount; "bind" may replace a few files of /proc, or all of it by the machine's own.
        source: of a bind.

    Raises:
        AgentError: the root, a relative path, or a place in /proc, which the engine must be able to trust.
    """
    normal = posixpath.normpath(path) if path else path
    normal = "/" + normal.lstrip("/") if normal.startswith("/") else normal  # POSIX keeps two slashes, the kernel not
    if normal == "/":
        raise invalid("invalid specification: destination can't be '/'")
    if not normal.startswith("/"):
        raise invalid(f"invalid mount path: '{path}' mount path must be absolute")
    _check_proc(path, normal, kind, source)
    return normal


def _check_proc(path: str, normal: str, kind: str, source: str) -> None:
    if normal != "/proc" and not normal.startswith("/proc/"):
        return
    if kind == "bind" and (normal.removeprefix("/proc/") in _PROC_FILES or normal == source == "/proc"):
        return
    raise invalid(f"invalid mount path: '{path}' cannot be mounted because it is inside /proc")


def parse_bind(text: str, driver: str = "") -> Point:
    """A row of Binds: `target`, `source:target` or `source:target:mode`.

    Arguments:
        driver: HostConfig's VolumeDriver.

    Raises:
        AgentError: malformed.
    """
    parts = text.split(":")
    malformed = invalid(f"invalid volume specification: '{text[:400]}'")
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and is_mode(parts[1])):
        raise malformed
    mode = parts[2] if len(parts) == 3 else ""
    if not is_mode(mode):
        raise invalid(f"invalid mode: {mode[:80]}")
    words = mode.split(",")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    mount: dict[str, Any] = {"Type": "bind" if source.startswith("/") else "volume", "Target": target}
    if source:
        mount["Source"] = source
    if "ro" in words:
        mount["ReadOnly"] = True
    volume = ({"NoCopy": True} if "nocopy" in words else {}) | (
        {"DriverConfig": {"Name": driver}} if driver and mount["Type"] == "volume" else {}
    )
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    mount |= ({"VolumeOptions": volume} if volume else {}) | (
        {"BindOptions": {"Propagation": propagation}} if propagation else {}
    )
    try:
        point = parse_mount(mount, must_exist=False)
    except AgentError as error:
        raise AgentError(error.kind, f"{malformed.message}: {error.message}") from error
    if point["Type"] == "bind":
        point["Spec"]["BindOptions"] = {**mount.get("BindOptions", {}), "CreateMountpoint": True}
    return point | {"Mode": mode}


def parse_mount(mount: dict[str, Any], *, must_exist: bool = True) -> Point:
    """An element of Mounts.

    Arguments:
        must_exist: whether the source of a bind has to be there.

    Raises:
        AgentError: malformed, or the source of a bind does not exist.
    """
    kind = str(mount.get("Type") or "")
    try:
        target = _check_mount(mount, kind)
        if kind == "bind" and must_exist and not options_of(mount, "BindOptions").get("CreateMountpoint"):
            _check_source(str(mount["Source"]))
    except AgentError as error:
        raise AgentError(
            error.kind, f"invalid mount config for type {json.dumps(kind[:40], ensure_ascii=False)}: {error.message}"
        ) from error
    source = str(mount.get("Source") or "")
    point: Point = {
        "Type": kind,
        "Source": "/" + posixpath.normpath(source).lstrip("/") if kind == "bind" else "",
        "Destination": target,
        "Mode": "",
        "RW": not mount.get("ReadOnly") and kind != "image",
        "Propagation": "",
        "Spec": dict(mount),
    }
    if kind == "bind":
        point["Propagation"] = options_of(mount, "BindOptions").get("Propagation") or "rprivate"
    elif kind == "image":
        point |= {"Name": source, "Propagation": "rprivate"}
    elif kind == "volume":
        point |= {"Name": source, "Driver": driver_of(mount)}
    return point


def options_of(mount: dict[str, Any], name: str) -> dict[str, Any]:
    """One of a mount's option objects.

    Raises:
        AgentError: it is none.
    """
    options = mount.get(name)
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise invalid(f"{name}: an object is expected")
    return options


def driver_of(mount: dict[str, Any]) -> str:
    """The volume driver a mount names; "" for none."""
    return str(options_of(options_of(mount, "VolumeOptions"), "DriverConfig").get("Name") or "")


def texts_of(options: dict[str, Any], name: str) -> dict[str, str] | None:
    """An object of strings (labels, a driver's options); None where there is none.

    Raises:
        AgentError: something else.
    """
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise invalid(f"invalid {name}: an object of strings is expected")
    return value


def _check_mount(mount: dict[str, Any], kind: str) -> str:
    """All that needs no look at the machine; returns the target."""
    for name, (owner, flags) in _OPTIONS.items():
        options = options_of(mount, name)
        if mount.get(name) is not None and kind != owner:
            raise invalid(f"field {name} must not be specified")
        if not all(isinstance(options.get(flag, False), bool | None) for flag in flags):
            raise invalid(f"{name}: true or false is expected")
    for name in ("Source", "Target", "Consistency"):
        if not isinstance(mount.get(name) or "", str) or "\0" in str(mount.get(name)):
            raise invalid(f"field {name} must be text")
    source, target = mount.get("Source") or "", mount.get("Target") or ""
    if not target:
        raise invalid("field Target must not be empty")
    target = clean_target(target, kind=kind, source=source)
    if kind not in ("bind", "volume", "image", "tmpfs"):
        raise invalid("mount type unknown")
    if kind in ("bind", "image") and not source:
        raise invalid("field Source must not be empty")
    if kind == "bind":
        _check_bind(mount, source)
    elif kind == "tmpfs":
        if source:
            raise invalid("field Source must not be specified")
        tmpfs_parameters(options_of(mount, "TmpfsOptions"), read_only=False)
    else:
        _check_subpath(mount, kind, source)
        options = options_of(mount, "VolumeOptions")
        texts_of(options, "Labels")
        texts_of(options_of(options, "DriverConfig"), "Options")
    return target


def _check_bind(mount: dict[str, Any], source: str) -> None:
    options = options_of(mount, "BindOptions")
    propagation = options.get("Propagation") or ""
    if propagation and propagation not in PROPAGATIONS:
        raise invalid(f"invalid propagation mode: {str(propagation)[:40]}")
    if not source.startswith("/"):
        raise invalid(f"invalid mount path: '{source}' mount path must be absolute")
    only, force = options.get("ReadOnlyNonRecursive"), options.get("ReadOnlyForceRecursive")
    for name, wanted in (("ReadOnlyNonRecursive", only), ("ReadOnlyForceRecursive", force)):
        if wanted and not mount.get("ReadOnly"):
            raise invalid(f"mount options conflict: !ReadOnly && BindOptions.{name}")
    if only and force:
        raise invalid("mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive")


def _check_source(source: str) -> None:
    if not os.path.exists(source) and source not in DOCKER_SOCKETS:
        raise invalid(f"bind source path does not exist: {source}")


def _check_subpath(mount: dict[str, Any], kind: str, source: str) -> None:
    subpath = subpath_of(mount)
    if not subpath:
        return
    if not source:
        raise invalid("must not set Subpath when using anonymous volumes")
    if subpath.startswith("/") or "\0" in subpath or posixpath.normpath(subpath).split("/")[0] == "..":
        raise invalid("subpath must be a relative path within the volume")


def subpath_of(mount: dict[str, Any]) -> str:
    """Which part of a volume or an image is mounted; "" for all of it.

    Raises:
        AgentError: it is no text.
    """
    subpath = options_of(mount, "VolumeOptions" if mount.get("Type") == "volume" else "ImageOptions").get("Subpath")
    if not isinstance(subpath or "", str):
        raise invalid("Subpath: text is expected")
    return subpath or ""


def tmpfs_parameters(options: dict[str, Any], *, read_only: bool) -> str:
    """TmpfsOptions in the words of `--tmpfs`.

    Raises:
        AgentError: malformed.
    """
    size, mode = options.get("SizeBytes") or 0, options.get("Mode") or 0
    if not all(isinstance(number, int) and 0 <= number < 1 << 63 for number in (size, mode)):
        raise invalid("TmpfsOptions: whole numbers are expected")
    words = (["ro"] if read_only else []) + ([f"mode={mode:o}"] if mode else []) + ([f"size={size}"] if size else [])
    for option in options.get("Options") or []:
        if not isinstance(option, list) or len(option) not in (1, 2):
            raise invalid("invalid option array length")
        if option[0] not in ("exec", "noexec"):
            raise invalid(f"invalid option: {str(option[0])[:40]}")
        words.append(str(option[0]))
    return ",".join(words)
