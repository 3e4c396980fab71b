"""`atoll system df`: what takes room on the disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from . import images, ps, volumes
from .lazy import DockerCommand, pass_target
from .render import human_duration, human_size, out
from .target import Target
from .template import print_list, render

COLUMNS = {
    "Type": "type",
    "TotalCount": "total",
    "Active": "active",
    "Size": "size",
    "Reclaimable": "reclaimable",
}
IMAGE_COLUMNS = {
    "Repository": "repository",
    "Tag": "tag",
    "ID": "image_id",
    "CreatedSince": "created",
    "Size": "size",
    "SharedSize": "shared_size",
    "UniqueSize": "unique_size",
    "Containers": "containers",
}
CONTAINER_COLUMNS = {
    "ID": "container_id",
    "Image": "image",
    "Command": "command",
    "LocalVolumes": "local_volumes",
    "Size": "size",
    "RunningFor": "created",
    "Status": "status",
    "Names": "names",
}
VOLUME_COLUMNS = {"Name": "volume_name", "Links": "links", "Size": "size"}
CACHE_COLUMNS = {
    "ID": "cache_id",
    "CacheType": "cache_type",
    "Size": "size",
    "CreatedSince": "created",
    "LastUsedSince": "last_used",
    "UsageCount": "usage",
    "Shared": "shared",
}
ACTIVE = ("running", "paused", "restarting")


@click.command(cls=DockerCommand)
@click.option("-v", "--verbose", is_flag=True, help="List each image, container and volume.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Type}}: {{.Size}}'.")
@pass_target
def df(target: Target, verbose: bool, format: str | None) -> None:
    """Show what images, containers and volumes take on the disk."""
    usage = target.engine().system.disk_usage()
    if not verbose:
        print_list(summarize(usage), COLUMNS, format)
        return
    parts = detail(usage, time.time(), trunc=format in (None, "table"))
    if format not in (None, "table"):
        out(render(str(format), parts))
        return
    out("Images space usage:\n")
    print_list(parts["Images"], IMAGE_COLUMNS, None)
    out("\nContainers space usage:\n")
    print_list(parts["Containers"], CONTAINER_COLUMNS, None)
    out("\nLocal Volumes space usage:\n")
    print_list(parts["Volumes"], VOLUME_COLUMNS, None)
    out(f"\nBuild cache usage: {human_size(_builder_size(_rows(usage, 'BuildCache')), 4)}\n")
    print_list(parts["BuildCache"], CACHE_COLUMNS, None)


def _rows(usage: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    return usage.get(key) or ()


def summarize(usage: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row for each kind of thing (pure)."""
    found_images, containers = _rows(usage, "Images"), _rows(usage, "Containers")
    layers = int(usage.get("LayersSize") or 0)
    used = sum(
        image["Size"] - image["SharedSize"]
        for image in found_images
        if image.get("Containers") and -1 not in (image.get("Size", -1), image.get("SharedSize", -1))
    )
    written = sum(container.get("SizeRw", 0) for container in containers)
    idle = sum(container.get("SizeRw", 0) for container in containers if container.get("State") not in ACTIVE)
    mounts = [volume["UsageData"] for volume in _rows(usage, "Volumes") if volume.get("UsageData")]
    known = [mount for mount in mounts if mount["Size"] != -1]
    held = sum(mount["Size"] for mount in known)
    unused = sum(mount["Size"] for mount in known if mount["RefCount"] == 0)
    cache = _rows(usage, "BuildCache")
    built = _builder_size(cache)
    in_use = sum(entry["Size"] for entry in cache if entry.get("InUse") and not entry.get("Shared"))
    active_images = sum(image.get("Containers", 0) > 0 for image in found_images)
    active_containers = sum(container.get("State") in ACTIVE for container in containers)
    active_volumes = sum(mount["RefCount"] > 0 for mount in mounts)
    active_cache = sum(bool(entry.get("InUse")) for entry in cache)
    return [
        _row("Images", len(found_images), active_images, layers, _share(layers - used, layers)),
        _row("Containers", len(containers), active_containers, written, _share(idle, written)),
        _row("Local Volumes", len(_rows(usage, "Volumes")), active_volumes, held, _share(unused, held)),
        _row("Build Cache", len(cache), active_cache, built, human_size(built - in_use, 4)),
    ]


def _row(kind: str, total: int, active: int, size: int, reclaimable: str) -> dict[str, str]:
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size, 4),
        "Reclaimable": reclaimable,
    }


def _share(part: int, whole: int) -> str:
    text = human_size(part, 4) if part >= 0 else f"-{human_size(-part, 4)}"
    # Go's division rounds towards zero.
    return f"{text} ({int(part * 100 / whole)}%)" if whole > 0 else text


def _builder_size(cache: Sequence[Mapping[str, Any]]) -> int:
    return sum(entry["Size"] for entry in cache if not entry.get("Shared"))


def detail(usage: Mapping[str, Any], now_s: float, *, trunc: bool) -> dict[str, list[dict[str, Any]]]:
    """Rows of everything, by kind (pure)."""
    return {
        "Images": [_image_row(image, now_s, trunc=trunc) for image in _rows(usage, "Images")],
        "Containers": [
            ps.summarize({**container, "SizeRootFs": 0}, now_s, trunc=trunc)  # type: ignore[typeddict-item]
            for container in _rows(usage, "Containers")
        ],
        "Volumes": [volumes.summarize(volume) for volume in _rows(usage, "Volumes")],
        "BuildCache": [_cache_row(entry, now_s, trunc=trunc) for entry in _rows(usage, "BuildCache")],
    }


def _image_row(image: Mapping[str, Any], now_s: float, *, trunc: bool) -> dict[str, Any]:
    return next(images.summarize(image, now_s, trunc=trunc))  # type: ignore[arg-type]


def _cache_row(entry: Mapping[str, Any], now_s: float, *, trunc: bool) -> dict[str, Any]:
    from .moments import seconds_since

    ages = {}
    for field, key in (("CreatedSince", "CreatedAt"), ("LastUsedSince", "LastUsedAt")):
        age = seconds_since(entry.get(key) or "", now_s)
        ages[field] = f"{human_duration(age)} ago" if age is not None else ""
    identity = entry["ID"][:12] if trunc else entry["ID"]
    return {
        "ID": f"{identity}*" if entry.get("InUse") else identity,
        "CacheType": entry.get("Type", ""),
        "Size": human_size(entry["Size"], 4),
        **ages,
        "UsageCount": str(entry.get("UsageCount", 0)),
        "Shared": str(bool(entry.get("Shared"))).lower(),
    }
