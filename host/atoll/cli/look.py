"""`atoll port`, `top` and `diff`: look at a container from outside."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigError, HostError
from .lazy import DockerCommand, pass_target
from .render import align, out
from .sorting import natural
from .target import Target

KINDS = {0: "C", 1: "A", 2: "D"}
TOP_WIDTH = 20
"""Least width of a column of `top`, as Docker's."""


@click.command(cls=DockerCommand)
@click.argument("container")
@click.argument("port", required=False, metavar="[PORT[/PROTOCOL]]")
@pass_target
def port(target: Target, container: str, port: str | None) -> None:
    """Show where a container's ports are reached, or one of them."""
    found = target.engine().containers.inspect(container)
    ports = (found.get("NetworkSettings") or {}).get("Ports") or {}
    for line in format_bindings(ports, port, container):
        out(line)


def format_bindings(ports: dict[str, Any], wanted: str | None, container: str) -> list[str]:
    """The lines of `port` (pure).

    Raises:
        HostError: the wanted port is not published.
        ConfigError: it is none.
    """
    if wanted is None:
        lines = [f"{name} -> {_address(binding)}" for name, bindings in ports.items() for binding in bindings or ()]
        return sorted(lines, key=natural)
    number, _, protocol = wanted.partition("/")
    if not (number.isascii() and number.isdigit() and int(number) < 65536):
        raise ConfigError(f"invalid port: {wanted!r}", "use PORT or PORT/PROTOCOL, as 53/udp")
    name = f"{number}/{protocol or 'tcp'}"
    bindings = ports.get(name)
    if not bindings:
        raise HostError(f"no public port '{name}' published for {container}", "see `atoll port` without the port")
    return sorted((_address(binding) for binding in bindings), key=natural)


def _address(binding: dict[str, str]) -> str:
    address = binding.get("HostIp", "")
    return f"[{address}]:{binding['HostPort']}" if ":" in address else f"{address}:{binding['HostPort']}"


@click.command(cls=DockerCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("container")
@click.argument("ps_options", nargs=-1, type=click.UNPROCESSED, metavar="[PS OPTIONS]")
@pass_target
def top(target: Target, container: str, ps_options: tuple[str, ...]) -> None:
    """Show the processes of a container."""
    found = target.engine().containers.top(container, " ".join(ps_options))
    rows = [found["Titles"], *(found.get("Processes") or ())]
    out(align("\n".join("\t".join(row) for row in rows), TOP_WIDTH))


@click.command(cls=DockerCommand)
@click.argument("container")
@pass_target
def diff(target: Target, container: str) -> None:
    """Show which files a container Added, Changed and Deleted."""
    for change in target.engine().containers.changes(container):
        out(f"{KINDS.get(change['Kind'], '?')} {change['Path']}")
