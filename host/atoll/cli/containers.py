"""Commands on several containers at once: `stop`, `restart`, `kill`, `rm`, `wait`.

Each names what it did, one per line; an error with one container does not keep the others from their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import click

from ..errors import ApiError, HostError
from .exits import FAILED
from .lazy import DockerCommand, pass_target
from .render import fail, out
from .target import Target


def for_each(names: tuple[str, ...], work: Callable[[str], str | None], silent: Container[str] = ()) -> int:
    """Do work on each of the names and print what it returns, or the name; returns the command's exit code.

    Arguments:
        silent: names that are not printed.
    """
    code = 0
    for name in names:
        try:
            done = work(name) or name
            if name not in silent:
                out(done)
        except ApiError as error:
            fail(error.message, error.hint)
            code = FAILED
    return code


@click.command(cls=DockerCommand)
@click.option(
    "-t", "--time", "--timeout", "timeout_s", type=int, metavar="SECONDS", help="How long to wait before killing."
)
@click.option("-s", "--signal", metavar="SIGNAL", help="Signal to send first.")
@click.argument("containers", nargs=-1, required=True)
@pass_target
def stop(target: Target, containers: tuple[str, ...], timeout_s: int | None, signal: str | None) -> int:
    """Stop running containers: ask, then kill."""
    engine = target.engine()
    return for_each(containers, lambda name: engine.containers.stop(name, timeout_s=timeout_s, signal=signal))


@click.command(cls=DockerCommand)
@click.option(
    "-t", "--time", "--timeout", "timeout_s", type=int, metavar="SECONDS", help="How long to wait before killing."
)
@click.option("-s", "--signal", metavar="SIGNAL", help="Signal to send first.")
@click.argument("containers", nargs=-1, required=True)
@pass_target
def restart(target: Target, containers: tuple[str, ...], timeout_s: int | None, signal: str | None) -> int:
    """Stop containers and start them again."""
    engine = target.engine()
    return for_each(containers, lambda name: engine.containers.restart(name, timeout_s=timeout_s, signal=signal))


@click.command(cls=DockerCommand)
@click.option("-s", "--signal", default="KILL", metavar="SIGNAL", help="Signal to send.", show_default=True)
@click.argument("containers", nargs=-1, required=True)
@pass_target
def kill(target: Target, containers: tuple[str, ...], signal: str) -> int:
    """Send a signal to running containers."""
    engine = target.engine()
    return for_each(containers, lambda name: engine.containers.kill(name, signal))


@click.command(cls=DockerCommand)
@click.option("-f", "--force", is_flag=True, help="Kill running containers first.")
@click.option("-v", "--volumes", is_flag=True, help="Remove their anonymous volumes too.")
@click.option("-l", "--link", is_flag=True, help="Remove a link, named as CONTAINER/ALIAS, instead of a container.")
@click.argument("containers", nargs=-1, required=True)
@pass_target
def rm(target: Target, containers: tuple[str, ...], force: bool, volumes: bool, link: bool) -> int:
    """Remove containers."""
    engine = target.engine()
    missing: set[str] = set()

    def remove(name: str) -> None:
        try:
            engine.containers.remove(name, force=force, volumes=volumes, link=link)
        except ApiError as error:
            if not (force and error.status == 404):  # `rm -f` asks for its absence, and absent it is
                raise
            missing.add(name)

    return for_each(containers, remove, silent=missing)


@click.command(cls=DockerCommand)
@click.argument("containers", nargs=-1, required=True)
@pass_target
def wait(target: Target, containers: tuple[str, ...]) -> int:
    """Wait until containers stop, then print their exit codes."""
    from .console.session import interruptible

    engine = target.engine()

    def wait_for(name: str) -> str:
        result = interruptible(engine.containers.wait_begun(name).result)
        failure = result.get("Error")
        if failure and failure.get("Message"):
            raise HostError(failure["Message"], "")
        return str(result["StatusCode"])

    return for_each(containers, wait_for)
