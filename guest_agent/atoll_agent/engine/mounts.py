"""What a container mounts besides its root: binds, volumes and tmpfs of the request, and Docker's standard mounts."""

from __future__ import annotations

import os
import posixpath
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..api.errors import invalid
from ..runtime.spec import MountSpec
from ..volumes.store import VolumeStore

_MODES = {"ro", "rw", "z", "Z", "nocopy"}
_PROPAGATIONS = {"private", "rprivate", "slave", "rslave", "shared", "rshared"}

Point = dict[str, Any]
"""A mount point in Docker's shape: Type, Name, Source, Destination, Mode, RW, Propagation."""


def plan_points(
    config: dict[str, Any],
    host: dict[str, Any],
    volumes: VolumeStore,
    points_of: Callable[[str], list[Point]] = lambda name: [],
) -> list[Point]:
    """Resolve Binds, Mounts, VolumesFrom and the image's Volumes; volumes that do not exist are made.

    Arguments:
        points_of: the mount points of another container, or raises.

    Raises:
        AgentError: malformed, twice the same target, or a bind source that must exist and does not.
    """
    points = [_from_bind(text, volumes) for text in host.get("Binds") or []]
    points += [_from_mount(mount, volumes) for mount in host.get("Mounts") or []]
    targets = [point["Destination"] for point in points] + [_target(target) for target in host.get("Tmpfs") or {}]
    double = next((t for t in targets if targets.count(t) > 1), None)
    if double:
        raise invalid(f"Duplicate mount point: {double}")
    for text in (host.get("Tmpfs") or {}).values():
        _split_tmpfs(text)
    for point in _inherited(host.get("VolumesFrom") or [], points_of):
        if point["Destination"] not in targets:
            points.append(point)
            targets.append(point["Destination"])
    for target in map(_target, config.get("Volumes") or {}):
        if target not in targets:
            points.append(_volume_point(secrets.token_hex(32), target, volumes, writable=True, mode=""))
    return points


def _inherited(asked: list[str], points_of: Callable[[str], list[Point]]) -> list[Point]:
    """The volumes and binds of other containers: `name`, `name:ro` or `name:rw`."""
    found = []
    for text in asked:
        name, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise invalid(f"invalid mode for volumes-from: {mode[:40]}")
        found += [
            {**point, "RW": point["RW"] and mode != "ro", "Mode": mode}
            for point in points_of(name)
            if point["Type"] != "tmpfs"
        ]
    return found


def _target(path: str) -> str:
    if not path.startswith("/"):
        raise invalid(f"invalid mount path: '{path}' mount path must be absolute")
    normal = "/" + posixpath.normpath(path).lstrip("/")  # POSIX keeps two slashes in front, the kernel does not
    if normal == "/":
        raise invalid("invalid specification: destination can't be '/'")
    if normal == "/proc" or normal.startswith("/proc/"):
        raise invalid(f"invalid mount path: '{path}' is inside /proc")
    return normal


def _from_bind(text: str, volumes: VolumeStore) -> Point:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts[:2]):
        raise invalid(f"invalid volume specification: '{text}'")
    modes = [mode for mode in parts[2].split(",") if mode] if len(parts) == 3 else []
    unknown = next((mode for mode in modes if mode not in _MODES | _PROPAGATIONS), None)
    if unknown:
        raise invalid(f"invalid mode: {unknown}")
    writable = "ro" not in modes
    propagation = next((mode for mode in modes if mode in _PROPAGATIONS), "rprivate")
    target = _target(parts[1])
    if not parts[0].startswith("/"):
        return _volume_point(parts[0], target, volumes, writable=writable, mode=",".join(modes))
    source = Path(posixpath.normpath(parts[0]))
    source.mkdir(parents=True, exist_ok=True) if not os.path.lexists(source) else None
    return _bind_point(str(source), target, writable=writable, mode=",".join(modes), propagation=propagation)


def _volume_point(name: str, target: str, volumes: VolumeStore, *, writable: bool, mode: str) -> Point:
    volume = volumes.ensure(name)
    return {
        "Type": "volume",
        "Name": name,
        "Source": volume["Mountpoint"],
        "Destination": target,
        "Driver": "local",
        "Mode": mode,
        "RW": writable,
        "Propagation": "",
    }


def _bind_point(source: str, target: str, *, writable: bool, mode: str, propagation: str) -> Point:
    return {
        "Type": "bind",
        "Source": source,
        "Destination": target,
        "Mode": mode,
        "RW": writable,
        "Propagation": propagation,
    }


def _from_mount(mount: dict[str, Any], volumes: VolumeStore) -> Point:
    kind, source = mount.get("Type"), str(mount.get("Source") or "")
    target = _target(str(mount.get("Target") or ""))
    writable = not mount.get("ReadOnly")
    if kind == "bind":
        if not source.startswith("/"):
            raise invalid('invalid mount config for type "bind": field Source must be an absolute path')
        if not os.path.exists(source):
            raise invalid(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        propagation = _options(mount, "BindOptions").get("Propagation") or "rprivate"
        if propagation not in _PROPAGATIONS:
            raise invalid(f"invalid mount config: unknown propagation {str(propagation)[:40]!r}")
        return _bind_point(posixpath.normpath(source), target, writable=writable, mode="", propagation=propagation)
    if kind == "volume":
        return _volume_point(source or secrets.token_hex(32), target, volumes, writable=writable, mode="z")
    if kind == "tmpfs":
        options = _options(mount, "TmpfsOptions")
        size, mode = options.get("SizeBytes") or 0, options.get("Mode") or 0
        if not all(isinstance(number, int) and number >= 0 for number in (size, mode)):
            raise invalid("invalid mount config: TmpfsOptions: whole numbers are expected")
        parameters = ([f"size={size}"] if size else []) + ([f"mode={mode:o}"] if mode else [])
        return {
            "Type": "tmpfs", "Source": "", "Destination": target, "Mode": ",".join(parameters),
            "RW": writable, "Propagation": "",
        }  # fmt: skip
    raise invalid(f"invalid mount config: unknown mount type {kind!r}")


def _options(mount: dict[str, Any], name: str) -> dict[str, Any]:
    options = mount.get(name) or {}
    if not isinstance(options, dict):
        raise invalid(f"invalid mount config: {name}: an object is expected")
    return options


def plan_standard(host: dict[str, Any], hierarchy_has_cgroup: bool, mqueue: bool) -> list[MountSpec]:
    """/proc, /dev, /sys and what belongs to them, as the OCI runtime specification and Docker have them."""
    privileged = bool(host.get("Privileged"))
    sys_flags = ["nosuid", "nodev", "noexec"] + ([] if privileged else ["ro"])
    mounts = [
        _mount("proc", "/proc", ["nosuid", "nodev", "noexec"]),
        _mount("tmpfs", "/dev", ["nosuid", "strictatime"], ["mode=755", "size=65536k"]),
        _mount("devpts", "/dev/pts", ["nosuid", "noexec"], ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        _mount("sysfs", "/sys", sys_flags),
    ]
    if hierarchy_has_cgroup:
        mounts.append(_mount("cgroup2", "/sys/fs/cgroup", sys_flags))
    if mqueue:
        mounts.append(_mount("mqueue", "/dev/mqueue", ["nosuid", "nodev", "noexec"]))
    if str(host.get("IpcMode") or "").startswith("container:"):
        return mounts  # the shared memory is the other container's, too
    size = f"size={int(host.get('ShmSize') or 64 << 20)}"
    mounts.append(_mount("tmpfs", "/dev/shm", ["nosuid", "nodev", "noexec"], ["mode=1777", size]))
    return mounts


def _mount(kind: str, target: str, flags: list[str], options: list[str] | None = None) -> MountSpec:
    return {"kind": kind, "source": "", "target": target, "flags": flags, "options": options or [], "propagation": ""}


_FLAGS = {"ro", "nosuid", "nodev", "noexec", "strictatime"}
_OPPOSITES = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}
_NEUTRAL = {"rw", "defaults", "async", "atime", "noatime", "diratime", "nodiratime", "relatime"}
"""What makes no difference to a file system in memory."""
_TMPFS_FLAGS = ("nodev", "noexec", "nosuid")
_PARAMETERS = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}


def plan_asked(points: list[Point], tmpfs: dict[str, str]) -> list[MountSpec]:
    """The mounts a user asked for, parents before children."""
    mounts: list[MountSpec] = []
    for point in points:
        if point["Type"] == "tmpfs":
            options = [o for o in point["Mode"].split(",") if o]
            flags = sorted({*_TMPFS_FLAGS, *([] if point["RW"] else ["ro"])})
            mounts.append(_mount("tmpfs", point["Destination"], flags, options))
            continue
        mounts.append(
            {
                "kind": "bind",
                "source": point["Source"],
                "target": point["Destination"],
                "flags": ["rec"] + ([] if point["RW"] else ["ro"]),
                "options": [],
                "propagation": point["Propagation"],
            }
        )
    for target, text in tmpfs.items():
        flags, options = _split_tmpfs(text)
        mounts.append(_mount("tmpfs", _target(target), flags, options))
    return sorted(mounts, key=lambda mount: mount["target"].count("/"))


def _split_tmpfs(text: str) -> tuple[list[str], list[str]]:
    """Flags and parameters of `--tmpfs`: without a word about them it is nosuid, nodev and noexec.

    Raises:
        AgentError: a word that is neither.
    """
    flags, options = set(_TMPFS_FLAGS), []
    for word in filter(None, text.split(",")):
        if word in _OPPOSITES:
            flags.discard(_OPPOSITES[word])
        elif word in _FLAGS:
            flags.add(word)
        elif word.partition("=")[0] in _PARAMETERS:
            options.append(word)
        elif word not in _NEUTRAL:
            raise invalid(f'invalid tmpfs option ["{word[:40]}"]')
    return sorted(flags), options
