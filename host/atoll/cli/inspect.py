"""`atoll inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import ApiError
from .exits import FAILED
from .lazy import DockerCommand, pass_target
from .render import fail, out, print_json
from .target import Target

if TYPE_CHECKING:
    from ..client.engine import Engine

NOT_FOUND = 404


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.State.ExitCode}}'.")
@click.option("-s", "--size", is_flag=True, help="Also the sizes of containers.")
@click.option("--type", "kind", type=click.Choice(["container", "image"]), help="Look among these only.")
@click.argument("names", nargs=-1, required=True)
@pass_target
def inspect(target: Target, names: tuple[str, ...], format: str | None, size: bool, kind: str | None) -> int:
    """Show everything about containers or images, as JSON."""
    from .template import render

    engine = target.engine()
    found: list[dict[str, Any]] = []
    code = 0
    for name in names:
        try:
            found.append(find(engine, name, kind, size=size))
        except ApiError as error:
            fail(error.message, error.hint)
            code = FAILED
    if format is None:
        print_json(found)
    else:
        for value in found:
            out(render("{{json .}}" if format == "json" else format, value))
    return code


def find(engine: Engine, name: str, kind: str | None, *, size: bool) -> dict[str, Any]:
    """Find a container or else an image.

    Raises:
        ApiError: there is neither.
    """
    if kind == "image":
        return engine.images.inspect(name)
    try:
        return engine.containers.inspect(name, size=size)
    except ApiError as error:
        if kind or error.status != NOT_FOUND:
            raise
    try:
        return engine.images.inspect(name)
    except ApiError as error:
        if error.status == NOT_FOUND:
            raise ApiError(NOT_FOUND, f"no such container or image: {name}") from error
        raise
