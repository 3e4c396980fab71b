"""`atoll commit`, `import`, `export`, `save`: images and archives made of what is there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError
from .images import read_parts, split_name
from .lazy import DockerCommand, pass_target
from .render import is_terminal, out, out_bytes, progress
from .target import Target

if TYPE_CHECKING:
    from ..client.transport import Response

COMMIT_EXAMPLES = """\b
Examples:
  atoll commit web mine/web:2
  atoll commit -c 'CMD ["sh"]' -m "with a shell" web mine/web
"""
IMPORT_EXAMPLES = """\b
Examples:
  atoll import rootfs.tar mine/base:1
  atoll export web | atoll import -c 'CMD ["sh"]' - mine/web
"""
SCHEMES = ("http://", "https://")
PARTIAL = ".partial"


@click.command(cls=DockerCommand, epilog=COMMIT_EXAMPLES)
@click.option("-a", "--author", default="", metavar="TEXT", help="Who made it.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile instruction.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What was done.")
@click.option("-p", "--pause/--no-pause", "paused", default=True, help="Pause the container meanwhile (default).")
@click.argument("container")
@click.argument("name", required=False, metavar="[REPOSITORY[:TAG]]")
@pass_target
def commit(
    target: Target,
    container: str,
    name: str | None,
    author: str,
    changes: tuple[str, ...],
    message: str,
    paused: bool,
) -> None:
    """Make an image of a container's files, and print its id."""
    repository, tag = split_name(name or "")
    options = {
        "repo": repository or None,
        "tag": tag or None,
        "author": author or None,
        "comment": message or None,
        "changes": changes,
        "pause": None if paused else 0,
    }
    out(target.engine().images.commit(container, options))


@click.command("import", cls=DockerCommand, epilog=IMPORT_EXAMPLES)
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile instruction.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What is noted in the image's history.")
@click.option("--platform", metavar="OS/ARCH", help="Platform of the image, as linux/arm64.")
@click.argument("source", metavar="FILE|URL|-")
@click.argument("name", required=False, metavar="[REPOSITORY[:TAG]]")
@pass_target
def import_(
    target: Target, source: str, name: str | None, changes: tuple[str, ...], message: str, platform: str | None
) -> None:
    """Make an image of a tar archive of files, and print its id."""
    repository, tag = split_name(name or "")

    def send(archive: Iterable[bytes], origin: str = "-") -> None:
        messages = target.engine().images.import_(
            archive,
            source=origin,
            repository=repository,
            tag=tag,
            message=message,
            changes=changes,
            platform=platform,
        )
        for status in [str(entry.get("status", "")) for entry in messages]:
            if status:
                out(status)

    if source == "-":
        send(read_parts(sys.stdin.buffer, lambda done: None))
    elif source.startswith(SCHEMES):
        send((), source)
    else:
        path = Path(source)
        if not path.is_file():
            raise ConfigError(f"no such file: {source}", "use - for an archive on stdin")
        with path.open("rb") as file, progress("importing", path.stat().st_size) as advance:
            send(read_parts(file, advance))


@click.command(cls=DockerCommand)
@click.option("-o", "--output", metavar="FILE", help="File to write instead of stdout.")
@click.argument("container")
@pass_target
def export(target: Target, container: str, output: str | None) -> None:
    """Write a container's files as a tar archive."""
    _check_output(output, "container")
    write_archive(lambda: target.engine().containers.export(container), output)


@click.command(cls=DockerCommand)
@click.option("-o", "--output", metavar="FILE", help="File to write instead of stdout.")
@click.option("--platform", metavar="OS/ARCH", help="Only what is for one platform.")
@click.argument("images", nargs=-1, required=True)
@pass_target
def save(target: Target, images: tuple[str, ...], output: str | None, platform: str | None) -> None:
    """Write images as an archive that `atoll load` and `docker load` take."""
    _check_output(output, "image")
    write_archive(lambda: target.engine().images.save(images, platform), output)


def _check_output(output: str | None, what: str) -> None:
    if output is None and is_terminal():
        raise ConfigError(f"an {'archive' if what == 'image' else 'archive of files'} is nothing for a terminal",
                          "use -o FILE, or send it on: atoll ... | ...")  # fmt: skip
    if output is not None:
        check_output_path(Path(output))


def check_output_path(path: Path) -> None:
    """See that a file may be written there.

    Raises:
        ConfigError: its directory is not there, or it is one, or a device.
    """
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"no such directory: {path.absolute().parent}", "make it first")
    if path.is_dir():
        raise ConfigError(f"not a file but a directory: {path}", "name a file in it")
    if path.exists() and not path.is_file():
        raise ConfigError(f"not a regular file: {path}", "name another file")


def write_archive(begin: Callable[[], Response], output: str | None) -> None:
    """Write what the engine sends to stdout, or to a file that is there whole or not at all."""
    from .console.session import interruptible

    response = begin()
    if output is None:
        interruptible(lambda: _pass_on(response))
        return
    path = Path(output)
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as file, progress(f"writing {path.name}", None) as advance:
            for data in response:
                file.write(data)
                advance(len(data))
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _pass_on(response: Response) -> None:
    for data in response:
        out_bytes(data)
