"""`atoll inspect`, of everything that has a name, and `container inspect`, `image inspect`."""

from __future__ import annotations

from collections.abc import Callable
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
NO_SUCH_PAGE = 501


KINDS = ("container", "image", "network", "volume")
"""In the order in which a name is looked for, as Docker does."""

Find = Callable[[str], dict[str, Any]]


@click.command(cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.State.ExitCode}}'.")
@click.option("-s", "--size", is_flag=True, help="Also the sizes of containers.")
@click.option("--type", "kind", type=click.Choice(KINDS), help="Look among these only.")
@click.argument("names", nargs=-1, required=True)
@pass_target
def inspect(target: Target, names: tuple[str, ...], format: str | None, size: bool, kind: str | None) -> int:
    """Show everything about containers, images, networks or volumes, as JSON."""
    finders = make_finders(target.engine(), size=size)
    return inspect_each(names, finders[kind] if kind else lambda name: find(finders, name), format)


@click.command("inspect", cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.State.ExitCode}}'.")
@click.option("-s", "--size", is_flag=True, help="Also their sizes.")
@click.argument("containers", nargs=-1, required=True)
@pass_target
def inspect_containers(target: Target, containers: tuple[str, ...], format: str | None, size: bool) -> int:
    """Show everything about containers, as JSON."""
    return inspect_each(containers, make_finders(target.engine(), size=size)["container"], format)


@click.command("inspect", cls=DockerCommand)
@click.option("-f", "--format", metavar="FORMAT", help="json, or a template as '{{.Config.Cmd}}'.")
@click.argument("images", nargs=-1, required=True)
@pass_target
def inspect_images(target: Target, images: tuple[str, ...], format: str | None) -> int:
    """Show everything about images, as JSON."""
    return inspect_each(images, make_finders(target.engine(), size=False)["image"], format)


def make_finders(engine: Engine, *, size: bool) -> dict[str, Find]:
    """How each kind of thing is found."""
    return {
        "container": lambda name: engine.containers.inspect(name, size=size),
        "image": engine.images.inspect,
        "network": engine.networks.inspect,
        "volume": engine.volumes.inspect,
    }


def inspect_each(names: tuple[str, ...], find_one: Find, format: str | None) -> int:
    """Find each of the names and print it; returns the command's exit code. One that is missing stops none."""
    from .template import render

    found: list[dict[str, Any]] = []
    code = 0
    failures: list[ApiError] = []
    for name in names:
        try:
            found.append(find_one(name))
        except ApiError as error:
            failures.append(error)
            code = FAILED
    if not format:
        print_json(found)
    elif format == "json":
        print_json(found, compact=True)
    else:
        if not found:
            out()  # as Docker does
        for value in found:
            out(render(format, value))
    for failure in failures:
        fail(failure.message, failure.hint)
    return code


def find(finders: dict[str, Find], name: str) -> dict[str, Any]:
    """Find whatever has a name: a container before an image, a network or a volume.

    Raises:
        ApiError: nothing has.
    """
    for kind in KINDS:
        try:
            return finders[kind](name)
        except ApiError as error:
            if error.status != NOT_FOUND and not (kind == "volume" and error.status == NO_SUCH_PAGE):
                raise
    raise ApiError(NOT_FOUND, f"no such object: {name}")
