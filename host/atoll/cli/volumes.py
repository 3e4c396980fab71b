"""`atoll volume ...`: create, ls, inspect, rm. `prune` is with its like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ..errors import ConfigError
from .containers import for_each
from .filters import parse_filters
from .inspect import inspect_each
from .lazy import DockerCommand, pass_target
from .render import human_size, out, warn
from .sorting import natural
from .target import Target
from .template import print_list
from .values import parse_labels

COLUMNS = {"Driver": "driver", "Name": "volume_name"}
UNKNOWN = "N/A"
CREATE_EXAMPLES = """\b
Examples:
  atoll volume create data
  atoll volume create --label stage=test -o type=tmpfs -o device=tmpfs -o o=size=64m scratch
"""


@click.command(cls=DockerCommand, epilog=CREATE_EXAMPLES)
@click.option("-d", "--driver", default="local", metavar="DRIVER", help="Driver of the volume.", show_default=True)
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Set a label.")
@click.option("--name", "flag_name", metavar="NAME", hidden=True)
@click.option("-o", "--opt", "options", multiple=True, metavar="NAME=VALUE", help="Option of the driver.")
@click.argument("name", required=False, metavar="[VOLUME]")
@pass_target
def create(
    target: Target,
    name: str | None,
    driver: str,
    labels: tuple[str, ...],
    flag_name: str | None,
    options: tuple[str, ...],
) -> None:
    """Create a volume, and print its name."""
    if name and flag_name:
        raise ConfigError("two names for one volume", "leave out --name")
    volume = target.engine().volumes.create(
        name or flag_name or "", driver=driver, options=parse_labels(options), labels=parse_labels(labels)
    )
    out(volume["Name"])


@click.command(cls=DockerCommand)
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only volumes that match: dangling, driver, label, name.",
)
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Name}}: {{.Mountpoint}}'.")
@pass_target
def ls(target: Target, filters: tuple[str, ...], quiet: bool, format: str | None) -> None:
    """List volumes."""
    found, warnings = target.engine().volumes.list(parse_filters(filters))
    rows = [summarize(volume) for volume in sorted(found, key=lambda volume: natural(volume["Name"]))]
    if quiet and format in (None, "table"):
        for row in rows:
            out(row["Name"])
    else:
        print_list(rows, COLUMNS, format)
    for warning in warnings:
        warn(warning)


def summarize(volume: Mapping[str, Any]) -> dict[str, Any]:
    """Make a row of a volume, with Docker's field names (pure)."""
    usage, labels = volume.get("UsageData"), volume.get("Labels") or {}
    return {
        "Availability": UNKNOWN,
        "Driver": volume.get("Driver", ""),
        "Group": UNKNOWN,
        "Label": lambda name: labels.get(name, ""),
        "Labels": ",".join(sorted(f"{name}={value}" for name, value in labels.items())),
        "Links": str(usage["RefCount"]) if usage else UNKNOWN,
        "Mountpoint": volume.get("Mountpoint", ""),
        "Name": volume["Name"],
        "Scope": volume.get("Scope", ""),
        "Size": human_size(usage["Size"], 4) if usage else UNKNOWN,
        "Status": UNKNOWN,
    }


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.Mountpoint}}'.")
@click.argument("volumes", nargs=-1, required=True)
@pass_target
def inspect(target: Target, volumes: tuple[str, ...], format: str | None) -> int:
    """Show everything about volumes, as JSON."""
    engine = target.engine()
    return inspect_each(volumes, engine.volumes.inspect, format)


@click.command(cls=DockerCommand)
@click.option("-f", "--force", is_flag=True, help="Do not complain about volumes that are not there.")
@click.argument("volumes", nargs=-1, required=True)
@pass_target
def rm(target: Target, volumes: tuple[str, ...], force: bool) -> int:
    """Remove volumes that no container uses."""
    engine = target.engine()
    return for_each(volumes, lambda name: engine.volumes.remove(name, force=force))
