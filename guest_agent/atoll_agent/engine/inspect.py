"""Containers, images and execs in the shapes of Docker's API."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from ..api.errors import AgentError, Kind
from ..images.store import Image, ImageStore
from ..network.networks import Networks
from ..runtime.log_file import format_time
from .create import command_of
from .execs import Exec
from .links import describe_links
from .mount_points import shown
from .ports import describe_ports, describe_rows
from .records import EXITED, RESTARTING, RUNNING, Container, Health, RecordStore

NO_TIME = "0001-01-01T00:00:00Z"


def container_details(container: Container, store: RecordStore, networks: Networks) -> dict[str, Any]:
    """`GET /containers/{id}/json`."""
    command = command_of(container.config)
    directory, overlay = store.directory(container.id), store.overlay(container.id)
    host = dict(container.host_config) | {"Links": describe_links(container)}
    log_path = str(directory / "output.log") if host["LogConfig"]["Type"] != "none" else ""
    return {
        "Id": container.id,
        "Created": format_time(container.created_ns),
        "Path": command[0],
        "Args": command[1:],
        "State": _state(container),
        "Image": container.image_id,
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": log_path,
        "Name": f"/{container.name}",
        "RestartCount": container.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(container.exec_ids) or None,
        "HostConfig": host,
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "LowerDir": ":".join(container.layers),
                "UpperDir": str(overlay / "upper"),
                "WorkDir": str(overlay / "work"),
                "MergedDir": "",
            },
        },
        "Mounts": [shown(point) for point in container.mounts],
        "Config": {**container.config, "Image": container.image},
        "NetworkSettings": network_settings(container, networks),
    }


def _state(container: Container) -> dict[str, Any]:
    state = container.state
    return {
        "Status": "paused" if state.paused else state.status,
        "Running": container.running or state.status == RESTARTING,
        "Paused": state.paused,
        "Restarting": state.status == RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": False,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": container.started_at(),
        "FinishedAt": container.finished_at(),
        **({"Health": _health(state.health)} if state.health else {}),
    }


def _health(health: Health) -> dict[str, Any]:
    return {"Status": health.status, "FailingStreak": health.failing_streak, "Log": health.results}


def network_settings(container: Container, networks: Networks) -> dict[str, Any]:
    """`NetworkSettings` of inspect."""
    state = container.state
    found = {name: describe_endpoint(container, name, networks) for name in container.endpoints}
    main = found.get("bridge", {})  # the fields of old, which only ever told of the default bridge
    return {
        "Bridge": "",
        "SandboxID": container.id if container.running else "",
        "SandboxKey": f"/proc/{state.pid}/ns/net" if container.running else "",
        "Ports": describe_ports(container.config, state.ports if container.running else []),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": main.get("EndpointID", ""),
        "Gateway": main.get("Gateway", ""),
        "GlobalIPv6Address": main.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": main.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": main.get("IPAddress", ""),
        "IPPrefixLen": main.get("IPPrefixLen", 0),
        "IPv6Gateway": main.get("IPv6Gateway", ""),
        "MacAddress": main.get("MacAddress", ""),
        "Networks": found,
    }


def describe_endpoint(container: Container, name: str, networks: Networks) -> dict[str, Any]:
    """A container's place on one network, in Docker's shape; without addresses while it does not run."""
    settings = container.endpoints.get(name) or {}
    network = networks.find(name)
    attachments = container.state.attachments if container.running else []
    attachment = next((a for a in attachments if network and a.network == network.id), None)
    ipv4 = networks.gateway(network) if network and attachment and attachment.ipv4 else ("", 0)
    ipv6 = networks.gateway(network, 6) if network and attachment and attachment.ipv6 else ("", 0)
    names = [container.name, container.id[:12], *(settings.get("Aliases") or [])]
    return {
        "IPAMConfig": settings.get("IPAMConfig"),
        "Links": settings.get("Links"),
        "Aliases": settings.get("Aliases"),
        "MacAddress": attachment.mac if attachment else str(settings.get("MacAddress") or ""),
        "DriverOpts": settings.get("DriverOpts"),
        "GwPriority": settings.get("GwPriority") or 0,
        "NetworkID": network.id if network else "",
        "EndpointID": attachment.endpoint if attachment else "",
        "Gateway": ipv4[0],
        "IPAddress": attachment.ipv4 if attachment else "",
        "IPPrefixLen": ipv4[1],
        "IPv6Gateway": ipv6[0],
        "GlobalIPv6Address": attachment.ipv6 if attachment else "",
        "GlobalIPv6PrefixLen": ipv6[1],
        "DNSNames": list(dict.fromkeys(names)) if network and network.names_resolve else None,
    }


def container_row(container: Container, networks: Networks) -> dict[str, Any]:
    """A row of `GET /containers/json`."""
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image,
        "ImageID": container.image_id,
        "Command": " ".join(command_of(container.config)),
        "Created": container.created_ns // 1_000_000_000,
        "Ports": describe_rows(container.config, container.state.ports if container.running else []),
        "Labels": container.config.get("Labels") or {},
        "State": "paused" if container.state.paused else container.state.status,
        "Status": describe_status(container),
        "HostConfig": {"NetworkMode": container.host_config["NetworkMode"]},
        "NetworkSettings": {"Networks": network_settings(container, networks)["Networks"]},
        "Mounts": [shown(point) for point in container.mounts],
    }


def describe_status(container: Container) -> str:
    """`Up 5 minutes`, `Exited (0) 2 hours ago`, as `docker ps` shows it."""
    state = container.state
    now = time.time_ns()
    if state.status == RUNNING:
        up = f"Up {describe_span((now - state.started_ns) // 1_000_000_000)}"
        if state.paused:
            return f"{up} (Paused)"
        if state.health:
            return f"{up} ({'health: starting' if state.health.status == 'starting' else state.health.status})"
        return up
    if state.status == RESTARTING:
        return f"Restarting ({state.exit_code}) {describe_span((now - state.finished_ns) // 1_000_000_000)} ago"
    if state.status == EXITED:
        return f"Exited ({state.exit_code}) {describe_span((now - state.finished_ns) // 1_000_000_000)} ago"
    return state.status.capitalize()


def describe_span(seconds: int) -> str:
    """A length of time in Docker's words."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = (seconds + 1800) // 3600
    if hours == 1:
        return "About an hour"
    for size, unit, limit in (
        (1, "hours", 48),
        (24, "days", 24 * 14),
        (24 * 7, "weeks", 24 * 60),
        (720, "months", 17520),
    ):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{hours // 8760} years"


def image_details(image: Image, images: ImageStore) -> dict[str, Any]:
    """`GET /images/{name}/json`."""
    config, note = image.config, images.note_of(image.id)
    top, *below = images.layer_directories(image)
    return {
        "Id": image.id,
        "RepoTags": images.tags_of(image.id),
        "RepoDigests": images.digests_of(image.id),
        "Parent": note.parent,
        "Comment": _comment(config),
        "Created": str(config.get("created") or NO_TIME),
        "DockerVersion": str(config.get("docker_version") or ""),
        "Author": str(config.get("author") or ""),
        "Config": image.run_config,
        "Architecture": image.architecture,
        "Variant": str(config.get("variant") or ""),
        "Os": str(config.get("os") or "linux"),
        "OsVersion": str(config.get("os.version") or ""),
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {"UpperDir": top, **({"LowerDir": ":".join(below)} if below else {})},
        },
        "RootFS": {"Type": "layers", "Layers": image.layers},
        "Metadata": {"LastTagTime": format_time(note.tagged_ns) if note.tagged_ns else NO_TIME},
    }


def _comment(config: dict[str, Any]) -> str:
    """Its own, or that of the last step that made it."""
    last = (config.get("history") or [{}])[-1]
    return str(config.get("comment") or last.get("comment") or "")


def image_row(image: Image, images: ImageStore, containers: int) -> dict[str, Any]:
    """A row of `GET /images/json`."""
    return {
        "Id": image.id,
        "ParentId": images.note_of(image.id).parent,
        "RepoTags": images.tags_of(image.id),
        "RepoDigests": images.digests_of(image.id),
        "Created": parse_time(str(image.config.get("created") or "")),
        "Size": image.size,
        "SharedSize": -1,
        "VirtualSize": image.size,
        "Labels": image.run_config.get("Labels") or {},
        "Containers": containers,
    }


def image_history(image: Image, images: ImageStore) -> list[dict[str, Any]]:
    """`GET /images/{name}/history`: newest first, each step with the size of the layer that it made.

    Raises:
        AgentError: it tells of more layers than there are.
    """
    rows: list[dict[str, Any]] = []
    layers = iter(image.layers)
    for step in image.config.get("history") or []:
        size = 0
        if not step.get("empty_layer"):
            layer = next(layers, None)
            if layer is None:
                raise AgentError(Kind.SYSTEM, "too many non-empty layers in History section")
            size = images.layers.size(layer)
        row = {
            "Id": "<missing>",
            "Created": parse_time(str(step.get("created") or "")),
            "CreatedBy": str(step.get("created_by") or ""),
            "Tags": None,
            "Size": size,
            "Comment": str(step.get("comment") or ""),
        }
        rows.insert(0, row)
    known: Image | None = image
    for row in rows:  # the steps that were images here, too
        if known is None:
            break
        row |= {"Id": known.id, "Tags": images.tags_of(known.id) or None}
        parent = images.note_of(known.id).parent
        known = images.find(parent) if parent else None
    return rows


def parse_time(text: str) -> int:
    """Seconds since 1970 of an RFC 3339 time; 0 where it is none."""
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0


def exec_details(found: Exec) -> dict[str, Any]:
    """`GET /exec/{id}/json`."""
    body = found.config
    return {
        "ID": found.id,
        "Running": found.running,
        "ExitCode": found.exit_code,
        "ProcessConfig": {
            "tty": found.terminal,
            "entrypoint": body["Cmd"][0],
            "arguments": body["Cmd"][1:],
            "privileged": bool(body.get("Privileged")),
            "user": str(body.get("User") or ""),
        },
        "OpenStdin": bool(body.get("AttachStdin")),
        "OpenStderr": bool(body.get("AttachStderr")),
        "OpenStdout": bool(body.get("AttachStdout")),
        "CanRemove": found.exit_code is not None,
        "ContainerID": found.container.id,
        "DetachKeys": str(body.get("DetachKeys") or ""),
        "Pid": found.pid,
    }
