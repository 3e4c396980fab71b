"""`atoll images`, `load`, `tag` and `rmi`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from ..errors import ConfigError
from .containers import for_each
from .filters import parse_filters
from .lazy import DockerCommand, pass_target
from .render import human_duration, human_size, out, progress
from .target import Target
from .template import print_list

if TYPE_CHECKING:
    from ..client.types import ImageSummary

NONE = "<none>"
READ_SIZE = 256 * 1024
COLUMNS = {
    "Repository": "repository",
    "Tag": "tag",
    "ID": "image_id",
    "CreatedSince": "created",
    "Size": "size",
}


@click.command(cls=DockerCommand)
@click.option("-a", "--all", "everything", is_flag=True, help="Also images without a name that others build on.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only images that match: reference, label, dangling.",
)
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Show ids whole.")
@click.option("--digests", is_flag=True, help="Show digests.")
@click.option("--format", metavar="FORMAT", help="json, or a template as '{{.Repository}}:{{.Tag}}'.")
@click.argument("repository", required=False)
@pass_target
def images(
    target: Target,
    repository: str | None,
    everything: bool,
    filters: tuple[str, ...],
    quiet: bool,
    no_trunc: bool,
    digests: bool,
    format: str | None,
) -> None:
    """List images, or those of one REPOSITORY[:TAG]."""
    wanted = parse_filters(filters)
    if repository:
        wanted["reference"] = [repository]
    found = target.engine().images.list(all=everything, filters=wanted)
    rows = [row for image in found for row in summarize(image, time.time(), trunc=not no_trunc)]
    if quiet:
        for identity in dict.fromkeys(row["ID"] for row in rows):
            out(identity)
        return
    columns = COLUMNS
    if digests:
        columns = {"Repository": "repository", "Tag": "tag", "Digest": "digest", **COLUMNS}
    print_list(rows, columns, format)


def summarize(image: ImageSummary, now_s: float, *, trunc: bool) -> Iterator[dict[str, str]]:
    """Make rows of an image, one per name, with Docker's field names (pure)."""
    created = image.get("Created", 0)
    digests = dict(text.split("@", 1) for text in image.get("RepoDigests") or [] if "@" in text)
    shared = image.get("SharedSize", -1)
    unique = image.get("Size", 0) - shared if shared >= 0 else -1
    for name in image.get("RepoTags") or [f"{NONE}:{NONE}"]:
        repository, tag = split_tag(name)
        yield {
            "Repository": repository,
            "Tag": tag,
            "Digest": digests.get(repository, NONE),
            "ID": image["Id"].partition(":")[2][:12] if trunc else image["Id"],
            "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created)),
            "CreatedSince": f"{human_duration(now_s - created)} ago" if created > 0 else "N/A",
            "Size": human_size(image.get("Size", 0)),
            "Containers": _known(image.get("Containers", -1), str),
            "SharedSize": _known(shared, lambda size: human_size(size, 4)),
            "UniqueSize": _known(unique, lambda size: human_size(size, 4)),
            "VirtualSize": human_size(image.get("Size", 0), 4),
        }


def _known(number: int, format: Callable[[int], str]) -> str:
    """The engine answers -1 for what it was not asked to find out."""
    return "N/A" if number < 0 else format(number)


def split_name(name: str) -> tuple[str, str]:
    """Split a name as `split_tag`, with an empty tag when there is none."""
    repository, tag = split_tag(name)
    return (repository, tag) if name.endswith(f":{tag}") else (name, "")


def split_tag(name: str) -> tuple[str, str]:
    """Split `host:5000/name:tag` at the tag's colon; the tag is `latest` when there is none."""
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, "latest"
    return repository, tag


@click.command(cls=DockerCommand)
@click.option("-i", "--input", "source", metavar="FILE", help="Archive to read instead of stdin.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress.")
@pass_target
def load(target: Target, source: str | None, quiet: bool) -> None:
    """Load images from an archive of `docker save` or an OCI layout (tar, also compressed)."""
    if source in (None, "-"):
        if sys.stdin.isatty():
            raise ConfigError("no archive given, and stdin is a terminal", "use `atoll load -i FILE`")
        _load(target, sys.stdin.buffer, None, quiet=quiet)
        return
    try:
        path = Path(str(source))
        with path.open("rb") as file:
            _load(target, file, path.stat().st_size, quiet=quiet)
    except FileNotFoundError:
        raise ConfigError(f"no such file: {source}", "") from None
    except IsADirectoryError:
        raise ConfigError(f"not an archive but a directory: {source}", "") from None


def _load(target: Target, file: BinaryIO, size: int | None, *, quiet: bool) -> None:
    with progress("loading", None if quiet else size) as advance:
        parts = read_parts(file, (lambda done: None) if quiet else advance)
        # The engine's last words come when it has read all of the archive.
        texts = [str(message.get("stream", "")) for message in target.engine().images.load(parts)]
    for text in texts:
        if text.strip():
            out(text.rstrip("\n"))


def read_parts(file: BinaryIO, advance: Callable[[int], None]) -> Iterable[bytes]:
    """The bytes of a file in pieces, counted as they are taken."""
    while data := file.read(READ_SIZE):
        yield data
        advance(len(data))


@click.command(cls=DockerCommand)
@click.argument("image")
@click.argument("name")
@pass_target
def tag(target: Target, image: str, name: str) -> None:
    """Give IMAGE the further name NAME[:TAG]."""
    target.engine().images.tag(image, *split_tag(name))


@click.command(cls=DockerCommand)
@click.option("-f", "--force", is_flag=True, help="Also when a stopped container uses it.")
@click.option("--no-prune", is_flag=True, help="Keep nameless parents.")
@click.argument("images", nargs=-1, required=True)
@pass_target
def rmi(target: Target, images: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """Remove images' names, and images with their last name."""
    engine = target.engine()

    def remove(name: str) -> str:
        gone = engine.images.remove(name, force=force, prune=not no_prune)
        return "\n".join(f"{verb}: {what}" for entry in gone for verb, what in entry.items())

    return for_each(images, remove)
