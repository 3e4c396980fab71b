"""`atoll version` and `events`."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import click

from ..errors import HostError
from .filters import parse_filters
from .lazy import DockerCommand, pass_target
from .moments import parse_moment
from .render import fail, out, print_json
from .target import Target


def client_version() -> dict[str, str]:
    """What runs on this side."""
    try:
        own = installed_version("atoll")
    except PackageNotFoundError:  # run from a source tree that was never installed
        own = "unknown"
    return {
        "Version": own,
        "Python": platform.python_version(),
        "Os": platform.system().lower(),
        "Arch": platform.machine(),
    }


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.Server.Version}}'.")
@pass_target
def version(target: Target, format: str | None) -> int:
    """Show the versions of atoll and its engine."""
    from .template import render

    both: dict[str, Any] = {"Client": client_version(), "Server": None}
    failure: HostError | None = None
    try:
        both["Server"] = target.engine().system.version()
    except HostError as error:
        failure = error
    if format:
        out(render(format, both))
    else:
        _print_sides(both)
    if failure:
        fail(failure.message, failure.hint)
        return 1
    return 0


def _print_sides(both: dict[str, Any]) -> None:
    client, server = both["Client"], both["Server"]
    out("Client:")
    for name, value in client.items():
        out(f" {name + ':':<14}{value}")
    if server:
        out("\nServer:")
        for label, key in (
            ("Version", "Version"),
            ("API version", "ApiVersion"),
            ("Minimum API", "MinAPIVersion"),
            ("Kernel", "KernelVersion"),
            ("Os", "Os"),
            ("Arch", "Arch"),
        ):
            out(f" {label + ':':<14}{server.get(key, '')}")


@click.command(cls=DockerCommand)
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only events that match: type, event, container, label.",
)
@click.option("--since", metavar="TIME", help="Begin in the past.")
@click.option("--until", metavar="TIME", help="End then.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Action}}'.")
@pass_target
def events(target: Target, filters: tuple[str, ...], since: str | None, until: str | None, format: str | None) -> None:
    """Follow what happens in the engine."""
    from .console.session import interruptible
    from .template import render

    stream = target.engine().system.events(
        since=parse_moment(since), until=parse_moment(until), filters=parse_filters(filters)
    )

    def follow() -> None:
        for event in stream:
            if format == "json":
                print_json(event, compact=True)
            else:
                out(render(format, event) if format else format_event(event))

    with contextlib.suppress(KeyboardInterrupt):
        interruptible(follow)


def format_event(event: dict[str, Any]) -> str:
    """Format an event in one line (pure)."""
    import time

    nanoseconds = int(event.get("timeNano") or 0)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 10**9))
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    head = f"{moment}.{nanoseconds % 10**9:09d}Z {event.get('Type')} {event.get('Action')} {actor.get('ID')}"
    return f"{head} ({attributes})" if attributes else head
