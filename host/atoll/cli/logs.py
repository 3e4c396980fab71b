"""`atoll logs`."""

from __future__ import annotations

import click

from ..client.demux import STDERR, Demultiplexer, DemuxError
from ..errors import ProtocolError
from .lazy import DockerCommand, pass_target
from .moments import parse_moment
from .render import out_bytes
from .target import Target


@click.command(cls=DockerCommand)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n", "--tail", default="all", metavar="LINES", help="Only so many lines from the end.", show_default=True
)
@click.option("--since", metavar="TIME", help="Only what is newer: 2026-01-31T12:00:00Z, or 42m for 42 minutes ago.")
@click.option("--until", metavar="TIME", help="Only what is older.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin every line with its time.")
@click.option("--details", is_flag=True, help="Begin every line with the labels and variables of the log's options.")
@click.argument("container")
@pass_target
def logs(
    target: Target,
    container: str,
    follow: bool,
    tail: str,
    since: str | None,
    until: str | None,
    timestamps: bool,
    details: bool,
) -> None:
    """Show what a container wrote."""
    from .console.session import interruptible

    engine = target.engine()
    found = engine.containers.inspect(container)
    response = engine.containers.logs(
        found["Id"],
        follow=follow,
        since=parse_moment(since),
        until=parse_moment(until),
        timestamps=timestamps,
        tail=tail,
        details=details,
    )
    tty = bool(found["Config"]["Tty"])

    def print_all() -> None:
        demux = Demultiplexer()
        for data in response:
            for number, part in [(1, data)] if tty else demux.feed(data):
                out_bytes(part, error=number == STDERR)

    try:
        interruptible(print_all)
    except DemuxError as error:
        raise ProtocolError(str(error)) from error
