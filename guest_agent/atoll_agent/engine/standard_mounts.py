"""The mounts every container gets: /proc, /dev, /sys and what belongs to them."""

from __future__ import annotations

from typing import Any

from ..runtime.spec import MountSpec


def plan_standard(host: dict[str, Any], hierarchy_has_cgroup: bool, mqueue: bool) -> list[MountSpec]:
    """/proc, /dev, /sys and what belongs to them, as the OCI runtime specification and Docker have them."""
    privileged = bool(host.get("Privileged"))
    sys_flags = ["nosuid", "nodev", "noexec"] + ([] if privileged else ["ro"])
    mounts = [
        plan_file_system("proc", "/proc", ["nosuid", "nodev", "noexec"]),
        plan_file_system("tmpfs", "/dev", ["nosuid", "strictatime"], ["mode=755", "size=65536k"]),
        plan_file_system(
            "devpts", "/dev/pts", ["nosuid", "noexec"], ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        plan_file_system("sysfs", "/sys", sys_flags),
    ]
    if hierarchy_has_cgroup:
        mounts.append(plan_file_system("cgroup2", "/sys/fs/cgroup", sys_flags))
    if mqueue:
        mounts.append(plan_file_system("mqueue", "/dev/mqueue", ["nosuid", "nodev", "noexec"]))
    if str(host.get("IpcMode") or "").startswith("container:"):
        return mounts  # the shared memory is the other container's, too
    size = f"size={int(host.get('ShmSize') or 64 << 20)}"
    mounts.append(plan_file_system("tmpfs", "/dev/shm", ["nosuid", "nodev", "noexec"], ["mode=1777", size]))
    return mounts


def plan_file_system(kind: str, target: str, flags: list[str], options: list[str] | None = None) -> MountSpec:
    """A new file system at a place."""
    return {
        "kind": kind,
        "source": "",
        "subpath": "",
        "target": target,
        "flags": flags,
        "options": options or [],
        "propagation": "",
    }


def plan_file(source: str, target: str, *, read_only: bool) -> MountSpec:
    """A file of the engine's own at a place."""
    flags = ["ro"] if read_only else []
    return {
        "kind": "bind",
        "source": source,
        "subpath": "",
        "target": target,
        "flags": flags,
        "options": [],
        "propagation": "",
    }


def without_taken(standard: list[MountSpec], asked: list[MountSpec]) -> list[MountSpec]:
    """The mounts a user has not replaced; under a /dev of the user's own there is nothing of ours."""
    taken = {mount["target"] for mount in asked}
    own_dev = any(mount["target"] == "/dev" for mount in asked)
    return [
        mount
        for mount in standard
        if mount["target"] not in taken and not (own_dev and mount["target"].startswith("/dev/"))
    ]
