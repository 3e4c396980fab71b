"""`atoll ps`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from .filters import parse_filters
from .lazy import DockerCommand, pass_target
from .render import human_duration, human_size, out
from .target import Target
from .template import print_list

if TYPE_CHECKING:
    from ..client.types import ContainerSummary, Port

SHORT_ID = 12
SHORT_COMMAND = 20
COLUMNS = {
    "ID": "container_id",
    "Image": "image",
    "Command": "command",
    "RunningFor": "created",
    "Status": "status",
    "Ports": "ports",
    "Names": "names",
}


@click.command(cls=DockerCommand)
@click.option("-a", "--all", "everything", is_flag=True, help="Also containers that do not run.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only containers that match: status, name, label, id, ancestor, exited.",
)
@click.option("-n", "--last", type=int, metavar="N", help="The last N containers, in any state.")
@click.option("-l", "--latest", is_flag=True, help="The last container, in any state.")
@click.option("-s", "--size", is_flag=True, help="Show how much they have written.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Show ids and commands whole.")
@click.option("--format", metavar="FORMAT", help="json, or a template as 'table {{.ID}}\\t{{.Names}}'.")
@pass_target
def ps(
    target: Target,
    everything: bool,
    filters: tuple[str, ...],
    last: int | None,
    latest: bool,
    size: bool,
    quiet: bool,
    no_trunc: bool,
    format: str | None,
) -> None:
    """List running containers."""
    found = target.engine().containers.list(
        all=everything, limit=1 if latest else last, size=size, filters=parse_filters(filters)
    )
    rows = [summarize(container, time.time(), trunc=not no_trunc) for container in found]
    if quiet and format is None:
        for row in rows:
            out(row["ID"])
        return
    print_list(rows, {**COLUMNS, "Size": "size"} if size else COLUMNS, format)


def summarize(container: ContainerSummary, now_s: float, *, trunc: bool) -> dict[str, str]:
    """Make a row of a container, with Docker's field names (pure)."""
    created = container.get("Created", 0)
    identity = container["Id"]
    command = container.get("Command", "")
    return {
        "ID": identity[:SHORT_ID] if trunc else identity,
        "Image": container.get("Image", ""),
        "Command": f'"{_shorten(command) if trunc else command}"',
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created)),
        "RunningFor": f"{human_duration(now_s - created)} ago",
        "Ports": format_ports(container.get("Ports") or []),
        "State": container.get("State", ""),
        "Status": container.get("Status", ""),
        "Size": _format_size(container),
        "Names": ",".join(name.removeprefix("/") for name in container.get("Names") or []),
        "Labels": _format_labels(container.get("Labels") or {}),
        "Mounts": ",".join(str(m.get("Name") or m.get("Source", "")) for m in container.get("Mounts") or []),
        "Networks": ",".join(sorted((container.get("NetworkSettings") or {}).get("Networks") or {})),
    }


def _shorten(command: str) -> str:
    return command if len(command) <= SHORT_COMMAND else command[: SHORT_COMMAND - 1] + "…"


def _format_size(container: ContainerSummary) -> str:
    written = human_size(container.get("SizeRw", 0))
    total = container.get("SizeRootFs", 0)
    return f"{written} (virtual {human_size(total)})" if total else written


def _format_labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def format_ports(ports: list[Port]) -> str:
    """Format ports as `0.0.0.0:8080->80/tcp, 443/tcp` (pure)."""
    texts = []
    for port in sorted(ports, key=lambda p: (p.get("PrivatePort", 0), p.get("Type", ""), p.get("IP", ""))):
        inner = f"{port.get('PrivatePort', 0)}/{port.get('Type', 'tcp')}"
        address = port.get("IP", "")
        if ":" in address:
            address = f"[{address}]"
        texts.append(f"{address}:{port['PublicPort']}->{inner}" if port.get("PublicPort") else inner)
    return ", ".join(dict.fromkeys(texts))
