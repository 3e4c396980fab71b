"""`atoll ps`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
SHORT_MOUNT = 15
_SIZE = re.compile(r"\.Size\b|json \.\s*\}")
"""In a template: it shows the size, which the engine finds out on demand only."""
HEADINGS = {"CreatedAt": "created_at", "LocalVolumes": "local_volumes"}
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
        all=everything,
        limit=1 if latest else last,
        size=size or bool(_SIZE.search(format or "")),
        filters=parse_filters(filters),
    )
    rows = [summarize(container, time.time(), trunc=not no_trunc) for container in found]
    if quiet:
        for row in rows:
            out(row["ID"])
        return
    print_list(rows, {**COLUMNS, "Size": "size"} if size else COLUMNS, format, HEADINGS)


def summarize(container: ContainerSummary, now_s: float, *, trunc: bool) -> dict[str, Any]:
    """Make a row of a container, with Docker's field names (pure)."""
    created = container.get("Created", 0)
    identity = container["Id"]
    command = container.get("Command", "")
    mounts = container.get("Mounts") or []
    return {
        "ID": identity[:SHORT_ID] if trunc else identity,
        "Image": _format_image(container, trunc=trunc),
        "Command": json.dumps(_shorten(command, SHORT_COMMAND) if trunc else command, ensure_ascii=False),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created)),
        "RunningFor": f"{human_duration(now_s - created)} ago",
        "Platform": None,
        "Ports": format_ports(container.get("Ports") or []),
        "State": container.get("State", ""),
        "Status": container.get("Status", ""),
        "Size": _format_size(container),
        "Names": _format_names(container.get("Names") or [], trunc=trunc),
        "Label": lambda name: (container.get("Labels") or {}).get(name, ""),
        "Labels": _format_labels(container.get("Labels") or {}),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in mounts)),
        "Mounts": ",".join(_shorten(name, SHORT_MOUNT) if trunc else name for name in map(_mount_name, mounts)),
        "Networks": ",".join(sorted((container.get("NetworkSettings") or {}).get("Networks") or {})),
    }


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _format_image(container: ContainerSummary, *, trunc: bool) -> str:
    """The image's name; in short without its digest, and its id where it has lost its name."""
    name = container.get("Image", "") or "<no image>"
    if not trunc:
        return name
    identity = name.removeprefix("sha256:")[:SHORT_ID]
    if identity == container.get("ImageID", "").removeprefix("sha256:")[:SHORT_ID]:
        return identity
    return name.partition("@")[0].removeprefix("docker.io/").removeprefix("library/")


def _mount_name(mount: Mapping[str, Any]) -> str:
    return str(mount.get("Name") or mount.get("Source", ""))


def _format_names(names: list[str], *, trunc: bool) -> str:
    """The container's own name; whole, the names that others link it by too, which have a slash."""
    plain = [name.removeprefix("/") for name in names]
    return next((name for name in plain if "/" not in name), "") if trunc else ",".join(plain)


def _format_size(container: ContainerSummary) -> str:
    written = human_size(container.get("SizeRw", 0))
    total = container.get("SizeRootFs", 0)
    return f"{written} (virtual {human_size(total)})" if total else written


def _format_labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def format_ports(ports: list[Port]) -> str:
    """Format ports as `0.0.0.0:8080->80/tcp, 443/tcp`; those in a row are one range (pure)."""
    ranges: dict[tuple[str, str], tuple[int, int]] = {}
    texts: list[str] = []
    mapped: list[str] = []
    for port in sorted(ports, key=_port_order):
        inner, address, kind = port.get("PrivatePort", 0), port.get("IP", ""), port.get("Type", "tcp")
        outer = port.get("PublicPort", 0)
        if address and outer != inner:
            mapped.append(f"{_bracket(address)}:{outer}->{inner}/{kind}")
            continue
        key = (address, kind)
        first, last = ranges.get(key, (inner, inner - 1))
        if last + 1 != inner:
            texts.append(_format_range(key, first, last))
            first = inner
        ranges[key] = (first, inner)
    texts += [_format_range(key, first, last) for key, (first, last) in ranges.items()]
    return ", ".join(texts + mapped)


def _port_order(port: Port) -> tuple[int, str, int, str]:
    return port.get("PrivatePort", 0), port.get("IP", ""), port.get("PublicPort", 0), port.get("Type", "")


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _format_range(key: tuple[str, str], first: int, last: int) -> str:
    address, kind = key
    span = str(first) if first == last else f"{first}-{last}"
    return f"{_bracket(address)}:{span}->{span}/{kind}" if address else f"{span}/{kind}"
