"""`prune` of every noun: remove what nothing needs, after asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import ApiError, ConfigError
from .filters import parse_filters
from .lazy import DockerCommand, pass_target
from .render import ask, human_size, out, say
from .target import Target

if TYPE_CHECKING:
    from ..client.engine import Engine

NOT_IMPLEMENTED = (404, 501)
Filters = dict[str, list[str]]

STOPPED = "all stopped containers"
UNUSED_NETWORKS = "all networks not used by at least one container"
ANONYMOUS_VOLUMES = "all anonymous volumes not used by at least one container"
DANGLING = "all dangling images"
ALL_IMAGES = "all images without at least one container associated to them"
BUILD_CACHE = "unused build cache"

force_option = click.option("-f", "--force", is_flag=True, help="Do not ask.")


def filter_option(example: str) -> Callable[[Any], Any]:
    """The flag `--filter` with an example in its help."""
    return click.option(
        "--filter", "filters", multiple=True, metavar="NAME=VALUE", help=f"Only what matches, as {example}."
    )


def confirm(question: str, what: str, *, force: bool) -> None:
    """Ask, unless it is forced; ends the command when the person says no, which is no failure."""
    if not force and not ask(f"WARNING! {question}\nAre you sure you want to continue? [y/N]"):
        say(f"{what} prune has been cancelled; -f does without the question")
        raise click.exceptions.Exit(0)


def _tell(space_bytes: int, lines: Sequence[str]) -> int:
    if lines:
        out("\n".join([*lines, ""]))
    return space_bytes


def _containers(engine: Engine, filters: Filters) -> int:
    report = engine.containers.prune(filters)
    deleted = report.get("ContainersDeleted") or []
    return _tell(report.get("SpaceReclaimed", 0), ["Deleted Containers:", *deleted] if deleted else [])


def _networks(engine: Engine, filters: Filters) -> int:
    deleted = engine.networks.prune(filters).get("NetworksDeleted") or []
    return _tell(0, ["Deleted Networks:", *deleted] if deleted else [])


def _volumes(engine: Engine, filters: Filters) -> int:
    report = engine.volumes.prune(filters)
    deleted = report.get("VolumesDeleted") or []
    return _tell(report.get("SpaceReclaimed", 0), ["Deleted Volumes:", *deleted] if deleted else [])


def _images(engine: Engine, filters: Filters) -> int:
    report = engine.images.prune(filters)
    deleted = [
        f"untagged: {entry['Untagged']}" if entry.get("Untagged") else f"deleted: {entry.get('Deleted', '')}"
        for entry in report.get("ImagesDeleted") or []
    ]
    return _tell(report.get("SpaceReclaimed", 0), ["Deleted Images:", *deleted] if deleted else [])


def _total(space_bytes: int) -> None:
    out(f"Total reclaimed space: {human_size(space_bytes, 4)}")


@click.command("prune", cls=DockerCommand)
@force_option
@filter_option("until=24h or label=stage=test")
@pass_target
def containers(target: Target, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all containers that do not run."""
    confirm("This will remove all stopped containers.", "container", force=force)
    _total(_containers(target.engine(), parse_filters(filters)))


@click.command("prune", cls=DockerCommand)
@click.option("-a", "--all", "everything", is_flag=True, help="Also images with a name, when no container uses them.")
@force_option
@filter_option("until=24h or label=stage=test")
@pass_target
def images(target: Target, force: bool, everything: bool, filters: tuple[str, ...]) -> None:
    """Remove images that nothing needs."""
    confirm(f"This will remove {ALL_IMAGES if everything else DANGLING}.", "image", force=force)
    wanted = parse_filters(filters)
    wanted.setdefault("dangling", []).append("false" if everything else "true")
    _total(_images(target.engine(), wanted))


@click.command("prune", cls=DockerCommand)
@click.option("-a", "--all", "everything", is_flag=True, help="Also volumes with a name.")
@force_option
@filter_option("label=stage=test")
@pass_target
def volumes(target: Target, force: bool, everything: bool, filters: tuple[str, ...]) -> None:
    """Remove volumes that no container uses; those with a name only with -a."""
    wanted = parse_filters(filters)
    if everything:
        if "all" in wanted:
            raise ConfigError("conflicting options: --all and --filter all=...", "leave one of them out")
        wanted["all"] = ["true"]
    kind = "all" if everything else "anonymous"
    confirm(f"This will remove {kind} local volumes not used by at least one container.", "volume", force=force)
    _total(_volumes(target.engine(), wanted))


@click.command("prune", cls=DockerCommand)
@force_option
@filter_option("until=24h or label=stage=test")
@pass_target
def networks(target: Target, force: bool, filters: tuple[str, ...]) -> None:
    """Remove networks that nobody is in."""
    confirm("This will remove all custom networks not used by at least one container.", "network", force=force)
    _networks(target.engine(), parse_filters(filters))


@click.command("prune", cls=DockerCommand)
@click.option("-a", "--all", "everything", is_flag=True, help="Also images with a name, when no container uses them.")
@click.option("--volumes", "with_volumes", is_flag=True, help="Also anonymous volumes.")
@force_option
@filter_option("until=24h or label=stage=test")
@pass_target
def system(target: Target, force: bool, everything: bool, with_volumes: bool, filters: tuple[str, ...]) -> None:
    """Remove containers that do not run, and networks and images that nothing needs."""
    wanted = parse_filters(filters)
    if with_volumes and "until" in wanted:
        raise ConfigError('the "until" filter is not supported with "--volumes"', "leave one of them out")
    confirm(_describe(everything=everything, with_volumes=with_volumes, filters=filters), "system", force=force)
    engine = target.engine()
    space = _containers(engine, wanted)
    if with_volumes:
        space += _optional(_volumes, engine, wanted)
    space += _networks(engine, wanted)
    space += _images(engine, {**wanted, "dangling": ["false" if everything else "true"]})
    space += _optional(_build_cache, engine, wanted)
    _total(space)


def _describe(*, everything: bool, with_volumes: bool, filters: Sequence[str]) -> str:
    """What the question says before it asks (pure)."""
    parts = [STOPPED, UNUSED_NETWORKS, *([ANONYMOUS_VOLUMES] if with_volumes else [])]
    parts += [ALL_IMAGES if everything else DANGLING, BUILD_CACHE]
    text = "\n".join(["This will remove:", *(f"  - {part}" for part in parts), ""])
    if filters:
        text += "\n".join(["", "  Items to be pruned will be filtered with:", *(f"  - {f}" for f in filters), ""])
    return text


def _build_cache(engine: Engine, filters: Filters) -> int:
    report = engine.system.prune_build_cache(filters)
    deleted = report.get("CachesDeleted") or []
    return _tell(report.get("SpaceReclaimed", 0), ["Deleted build cache objects:", *deleted] if deleted else [])


def _optional(work: Callable[[Engine, Filters], int], engine: Engine, filters: Filters) -> int:
    """An engine may lack what this would clear; then there is nothing to clear."""
    try:
        return work(engine, filters)
    except ApiError as error:
        if error.status in NOT_IMPLEMENTED:
            return 0
        raise
