"""A container's devices: the nodes in its /dev and what its cgroup lets it do with them.

Pure but for looking at nodes of the machine's /dev: nothing is made here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any

from ..api.errors import invalid
from ..runtime.spec import DeviceNode, DeviceRuleSpec

DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
MAX_NODES = 4096
_RULE = re.compile(r"([abc]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})", re.ASCII)
_NOT_COPIED = {"pts", "ptmx", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev", "lxd"}
"""Of the machine's /dev: what a container has its own of (the directories and the console of moby's list)."""


def plan_device_rules(host: dict[str, Any]) -> list[DeviceRuleSpec] | None:
    """Docker's device list for cgroups: any mknod, use of the harmless ones and of what was asked for.

    Raises:
        AgentError: a device that is not there, or a malformed rule.
    """
    if host.get("Privileged"):
        return None
    rules = [_rule("c", -1, -1, "m"), _rule("b", -1, -1, "m")]
    for _name, major, minor in DEVICES:
        rules.append(_rule("c", major, minor, "rwm"))
    rules += [_rule("c", 5, 1, "rwm"), _rule("c", 5, 2, "rwm"), _rule("c", 136, -1, "rwm")]
    for device in host.get("Devices") or []:
        access = str(device.get("CgroupPermissions") or "rwm")
        for node in _asked_nodes(device):
            rules.append(_rule(node["type"], node["major"], node["minor"], access))
    for text in host.get("DeviceCgroupRules") or []:
        rules += parse_rule(text)
    return rules


def parse_rule(text: str) -> list[DeviceRuleSpec]:
    """`c 1:3 rwm`; `a` means both kinds of device.

    Raises:
        AgentError: malformed.
    """
    match = _RULE.fullmatch(text)
    if not match:
        raise invalid(f"invalid device cgroup rule format: '{text[:80]}'")
    kind, major, minor, access = match.groups()
    numbers = [-1 if number == "*" else int(number) for number in (major, minor)]
    return [_rule(each, numbers[0], numbers[1], access) for each in ("bc" if kind == "a" else kind)]


def _rule(kind: str, major: int, minor: int, access: str) -> DeviceRuleSpec:
    if not set(access) <= set("rwm"):
        raise invalid(f"invalid device mode: {access}")
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


def plan_devices(host: dict[str, Any]) -> list[DeviceNode]:
    """Nodes in /dev; a privileged container gets all that the machine has.

    Raises:
        AgentError: a device that is not there.
    """
    nodes: list[DeviceNode] = [_node(f"/dev/{name}", "c", major, minor) for name, major, minor in DEVICES]
    if host.get("Privileged"):
        have = {node["path"] for node in nodes}
        nodes += [node for node in _nodes_below("/dev", "/dev") if node["path"] not in have]
    for device in host.get("Devices") or []:
        nodes += _asked_nodes(device)
    return nodes


def check_requests(host: dict[str, Any]) -> None:
    """Refuse what needs a device driver (`--gpus`).

    Raises:
        AgentError: in Docker's words.
    """
    for request in host.get("DeviceRequests") or []:
        wanted = " ".join("[" + " ".join(map(str, group)) + "]" for group in request.get("Capabilities") or [])
        raise invalid(
            f'could not select device driver "{str(request.get("Driver") or "")[:40]}" with capabilities: [{wanted}]'
        )


def _asked_nodes(device: dict[str, Any]) -> list[DeviceNode]:
    """The node of one `--device`, or all below it where it names a directory."""
    source = str(device.get("PathOnHost") or "")
    target = str(device.get("PathInContainer") or source)
    if target and not target.startswith("/"):
        raise invalid(f"invalid device path {target[:80]!r}: it must be absolute")
    if os.path.isdir(source):
        found = list(_nodes_below(source, target))
        if found:
            return found
    return [_host_device(source, target)]


def _host_device(path: str, target: str) -> DeviceNode:
    what = f'error gathering device information while adding custom device "{path}"'
    try:
        status = os.stat(path)
    except OSError as error:
        raise invalid(f"{what}: {error.strerror}") from error
    node = _describe(status, target)
    if node is None:
        raise invalid(f"{what}: not a device node")
    return node


def _nodes_below(directory: str, target: str) -> Iterator[DeviceNode]:
    left = MAX_NODES
    for place, names, files in os.walk(directory):
        if place == "/dev":
            names[:] = [name for name in names if name not in _NOT_COPIED]
            files = [name for name in files if name not in _NOT_COPIED]
        for name in files:
            try:
                status = os.lstat(os.path.join(place, name))
            except OSError:
                continue  # it has gone meanwhile
            node = _describe(status, target + place[len(directory) :] + f"/{name}")
            if node is not None and left:
                left -= 1
                yield node


def _describe(status: os.stat_result, target: str) -> DeviceNode | None:
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
    node = _node(target, kind, os.major(status.st_rdev), os.minor(status.st_rdev), stat.S_IMODE(status.st_mode))
    node["uid"], node["gid"] = status.st_uid, status.st_gid
    return node


def _node(path: str, kind: str, major: int, minor: int, mode: int = 0o666) -> DeviceNode:
    return {"path": path, "type": kind, "major": major, "minor": minor, "mode": mode, "uid": 0, "gid": 0}
