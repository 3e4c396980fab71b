"""`atoll cp`: files between a container and here, by Docker's rules.

What is copied where depends on whether the destination exists and is a directory, and on how both paths end:

    file  -> directory          into it, under its own name
    file  -> file or nothing    as it; nothing with a slash at its end is an error
    dir   -> directory          into it, under its own name; `dir/.` only what is in it
    dir   -> nothing            as it
    dir   -> file               an error
"""

from __future__ import annotations

import ntpath
import os
import posixpath
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from ..client.archives import Archives
from ..errors import ApiError, ConfigError, HostError
from .lazy import DockerCommand, pass_target
from .pack import pack
from .render import human_size, is_person, out_bytes, progress, say, warn
from .target import Target
from .unpack import unpack

EXAMPLES = """\b
Examples:
  atoll cp web:/etc/nginx/nginx.conf .      out of a container, running or not
  atoll cp site/. web:/srv                  what is in a directory, into another
  tar c site | atoll cp - web:/srv          an archive
  atoll cp web:/srv - | tar t
"""
NOT_FOUND = 404


class Place(NamedTuple):
    """One side of a copy.

    Attributes:
        path: as given; a trailing slash or `/.` means something.
        exists, is_directory: what is there now.
    """

    path: str
    exists: bool
    is_directory: bool


class Route(NamedTuple):
    """Where an archive is extracted, and under which name its root appears there ("" for only what is in it)."""

    directory: str
    name: str


@click.command(cls=DockerCommand, epilog=EXAMPLES)
@click.option("-a", "--archive", "owners", is_flag=True, help="Keep owners.")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Copy what the source links to.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress.")
@click.argument("source", metavar="[CONTAINER:]SOURCE|-")
@click.argument("destination", metavar="[CONTAINER:]DESTINATION|-")
@pass_target
def cp(target: Target, source: str, destination: str, owners: bool, follow: bool, quiet: bool) -> None:
    """Copy files between a container and here."""
    from_container, inner_source = split_argument(source)
    to_container, inner_destination = split_argument(destination)
    if not source or not destination:
        raise ConfigError("source and destination cannot be empty", "see `atoll cp --help`")
    if from_container and to_container:
        raise ConfigError("copying between containers is not supported", "copy by way of a directory here")
    archives = target.engine().archives
    if from_container:
        size = _copy_out(archives, from_container, inner_source, inner_destination, follow=follow, quiet=quiet)
    elif to_container:
        size = _copy_in(archives, to_container, inner_source, inner_destination, follow=follow, owners=owners)
    else:
        raise ConfigError("one of source and destination must be in a container", "name it as CONTAINER:PATH")
    if not quiet and is_person() and destination != "-":
        say(f"Successfully copied {human_size(size)} to {destination}")


def split_argument(text: str) -> tuple[str, str]:
    """Split `container:path`; the container is "" for a path of this computer (pure but for the system's kind)."""
    if Path(text).is_absolute() or text.startswith(".") or (sys.platform == "win32" and ntpath.splitdrive(text)[0]):
        return "", text
    container, colon, path = text.partition(":")
    return (container, path) if colon else ("", text)


def choose_route(source: Place, name: str, destination: Place, parent: str, renamed: str) -> Route:
    """Decide where an archive goes (pure).

    Arguments:
        name: the source's own; `.` when only what is in it is meant.
        parent, renamed: the destination's directory and own name.

    Raises:
        HostError: the two do not go together.
    """
    if destination.exists and destination.is_directory:
        return Route(destination.path, "" if name == "." else name)
    if destination.exists and source.is_directory:
        raise HostError("cannot copy a directory over a file", f"{destination.path} is no directory")
    if not destination.exists and not source.is_directory and asserts_directory(destination.path):
        raise HostError(f"no such directory: {destination.path}", "make it first, or leave out the slash at its end")
    return Route(parent, renamed)


def split_inner(path: str) -> tuple[str, str]:
    """Split a path of a container into directory and name (pure); `.` at its end is a name."""
    cleaned = posixpath.normpath(path)
    if ends_in_dot(path):
        return cleaned, "."
    directory, name = posixpath.split(cleaned)
    return directory or ".", name or "."


def split_here(path: str) -> tuple[str, str]:
    """Split a path of this computer likewise."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay what they are
    return (str(absolute), ".") if ends_in_dot(path) else (str(absolute.parent), absolute.name or ".")


def ends_in_dot(path: str) -> bool:
    """Whether a path names what is in a directory rather than the directory."""
    return path == "." or path.endswith(("/.", "\\.") if sys.platform == "win32" else "/.")


def asserts_directory(path: str) -> bool:
    """Whether a path can only be a directory's, by its end."""
    return ends_in_dot(path) or path.endswith(("/", "\\") if sys.platform == "win32" else "/")


def _copy_out(archives: Archives, container: str, path: str, destination: str, *, follow: bool, quiet: bool) -> int:
    name = split_inner(path)[1]
    if follow:
        found = archives.stat(container, path)
        if found.is_link:  # what it leads to comes under the link's own name
            path = posixpath.join(split_inner(path)[0], found.link_target)
    stat, response = archives.get(container, path)
    if destination == "-":
        for data in response:
            out_bytes(data)
        return 0
    place = _look_here(destination)
    route = choose_route(Place(path, True, stat.is_directory), name, place, *split_here(place.path))
    counter = _Counter()
    with progress(f"copying from {container}", None if quiet else 0):
        for complaint in unpack(counter.count(response), Path(route.directory), route.name):
            warn(complaint)
    return counter.total if stat.is_directory else stat.size_bytes


def _look_here(path: str) -> Place:
    """What is at a destination here; links are followed, since what they lead to is what is meant."""
    resolved = Path(os.path.realpath(path))
    if not resolved.exists():
        if not resolved.parent.is_dir():
            raise HostError(f"no such directory: {resolved.parent}", "make it first")
        slash = path[-1:] if asserts_directory(path) else ""
        return Place(f"{resolved}{slash}", False, False)
    if not resolved.is_dir() and asserts_directory(path):
        raise HostError(f"not a directory: {path}", "leave out the slash at its end")
    if not resolved.is_dir() and not resolved.is_file():
        raise HostError(f"neither a directory nor a regular file: {path}", "name another destination")
    return Place(str(resolved), True, resolved.is_dir())


def _copy_in(archives: Archives, container: str, source: str, destination: str, *, follow: bool, owners: bool) -> int:
    place = _look_inside(archives, container, destination)
    if source == "-":
        if not place.is_directory:
            raise HostError(f'destination "{container}:{destination}" must be a directory', "name one that is there")
        archives.put(container, place.path, _read_stdin(), owners=owners)
        return 0
    path, is_directory = _find_source(source, follow=follow)
    name = split_here(source)[1]
    route = choose_route(Place(source, True, is_directory), name, place, *split_inner(place.path))
    counter = _Counter()
    with progress(f"copying to {container}", 0):
        parts = counter.count(pack(path, route.name or "."))
        archives.put(container, route.directory, parts, owners=owners)
    return counter.total


def _find_source(source: str, *, follow: bool) -> tuple[Path, bool]:
    """The source's path, and whether it is a directory.

    Raises:
        HostError: it is not there, or not the directory its path says it is.
    """
    follow = follow or asserts_directory(source)  # `link/` is what the link leads to
    path = Path(os.path.realpath(source) if follow else os.path.abspath(source))  # noqa: PTH100 - as above
    if not os.path.lexists(path):
        raise HostError(f"no such file or directory: {source}")
    is_directory = path.is_dir() and not path.is_symlink()
    if asserts_directory(source) and not is_directory:
        raise HostError(f"not a directory: {source}", "leave out the slash at its end")
    return path, is_directory


def _look_inside(archives: Archives, container: str, path: str) -> Place:
    """What is at a destination in a container; a link is followed once, which the engine has resolved to its end."""
    try:
        stat = archives.stat(container, path)
        if stat.is_link:
            path = posixpath.join(split_inner(path)[0], stat.link_target)
            stat = archives.stat(container, path)
    except ApiError as error:
        if error.status != NOT_FOUND or "no such container" in error.message.lower():
            raise
        return Place(path, False, False)
    if stat.is_special:
        raise HostError(
            f'destination "{container}:{path}" must be a directory or a regular file', "name another destination"
        )
    return Place(path, True, stat.is_directory)


def _read_stdin() -> Iterator[bytes]:
    while data := sys.stdin.buffer.read(1 << 16):
        yield data


class _Counter:
    """Counts the bytes that pass."""

    def __init__(self) -> None:
        self.total = 0

    def count(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for data in parts:
            self.total += len(data)
            yield data
