"""Containers that share another one's namespaces: `--network container:X`, `--pid container:X`, `--ipc container:X`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..api.errors import conflict, invalid
from .records import Container

SHARED = "container:"
MODES = {"NetworkMode": "network", "PidMode": "PID", "IpcMode": "IPC"}


def resolve_modes(host: dict[str, Any], config: dict[str, Any], get: Callable[[str], Container]) -> dict[str, Any]:
    """A HostConfig with other containers named by their ids.

    Arguments:
        get: finds a container by name or id, or raises.

    Raises:
        AgentError: there is no such container, or the combination makes no sense.
    """
    resolved = dict(host)
    for key, what in MODES.items():
        mode = str(host.get(key) or "")
        if not mode.startswith(SHARED):
            continue
        other = get(mode.removeprefix(SHARED))
        if key == "IpcMode" and other.host_config.get("IpcMode") != "shareable":
            raise invalid(
                f"can't join IPC of container {other.id}: non-shareable IPC (hint: use IpcMode:shareable for the "
                "donor container)"
            )
        if str(other.host_config.get(key) or "").startswith(SHARED) and key == "NetworkMode":
            raise conflict(f"cannot join {what} of container {other.id}, which shares another container's")
        resolved[key] = f"{SHARED}{other.id}"
    if str(resolved.get("NetworkMode") or "").startswith(SHARED):
        _check_network(resolved, config)
    return resolved


def _check_network(host: dict[str, Any], config: dict[str, Any]) -> None:
    """What belongs to the other container's network cannot be asked for again."""
    for what, asked in (
        ("hostname and the network mode", config.get("Hostname")),
        ("dns and the network mode", host.get("Dns")),
        ("custom host-to-IP mapping and the network mode", host.get("ExtraHosts")),
        ("mac-address and the network mode", config.get("MacAddress")),
        (
            "port publishing and the container type network mode",
            host.get("PortBindings") or host.get("PublishAllPorts"),
        ),
        ("port exposing and the container type network mode", config.get("ExposedPorts")),
    ):
        if asked:
            raise invalid(f"conflicting options: {what}")


def donor_of(host: dict[str, Any]) -> str:
    """Id of the container whose network a container shares; "" for none."""
    mode = str(host.get("NetworkMode") or "")
    return mode.removeprefix(SHARED) if mode.startswith(SHARED) else ""
