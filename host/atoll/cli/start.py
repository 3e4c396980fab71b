"""`atoll start` and `atoll attach`: join a container that exists."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

import click

from ..errors import ApiError, ConfigError, HostError
from . import exits
from .console import terminal
from .containers import for_each
from .launch import exit_code, parse_detach_keys
from .lazy import DockerCommand, pass_target
from .target import Target

if TYPE_CHECKING:
    from ..client.engine import Engine


@click.command(cls=DockerCommand)
@click.option("-a", "--attach", "attached", is_flag=True, help="Show its output and pass signals on.")
@click.option("-i", "--interactive", is_flag=True, help="Pass stdin on, too.")
@click.option("--detach-keys", metavar="KEYS", help="Keys that leave the container.  [default: ctrl-p,ctrl-q]")
@click.argument("containers", nargs=-1, required=True)
@pass_target
def start(
    target: Target, containers: tuple[str, ...], attached: bool, interactive: bool, detach_keys: str | None
) -> int:
    """Start stopped containers."""
    engine = target.engine()
    if not (attached or interactive):
        return for_each(containers, lambda name: engine.containers.start(name))
    if len(containers) > 1:
        raise ConfigError("cannot attach to more than one container", "start them one by one")
    return _join(engine, containers[0], start=True, stdin=interactive, detach_keys=detach_keys, proxy=True)


@click.command(cls=DockerCommand)
@click.option("--no-stdin", is_flag=True, help="Do not pass stdin on.")
@click.option("--detach-keys", metavar="KEYS", help="Keys that leave the container.  [default: ctrl-p,ctrl-q]")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the container.")
@click.argument("container")
@pass_target
def attach(target: Target, container: str, no_stdin: bool, detach_keys: str | None, sig_proxy: bool) -> int:
    """Connect the terminal to a running container; the exit code is the container's."""
    return _join(target.engine(), container, start=False, stdin=not no_stdin, detach_keys=detach_keys, proxy=sig_proxy)


def _join(engine: Engine, container: str, *, start: bool, stdin: bool, detach_keys: str | None, proxy: bool) -> int:
    """Attach to a container, starting it or finding it running; returns its exit code."""
    from .console.session import Session
    from .console.signals import forwarded, resized

    found = engine.containers.inspect(container)
    name, tty = found["Id"], bool(found["Config"]["Tty"])
    stdin = stdin and bool(found["Config"]["OpenStdin"])
    _check_state(found, container, start=start)
    if tty and stdin and not terminal.is_terminal(terminal.STDIN):
        raise ConfigError("the input device is not a terminal", "the container has one; use its logs instead")
    removed = start and bool(found["HostConfig"].get("AutoRemove"))
    condition = "removed" if removed else "next-exit" if start else "not-running"
    with ExitStack() as stack:
        if proxy:
            stack.enter_context(forwarded(lambda signal: engine.containers.kill(name, signal)))
        stream = engine.containers.attach(name, stdin=stdin, stdout=True, stderr=True, detach_keys=detach_keys)
        session = Session(stream, tty=tty, stdin=stdin, detach_keys=parse_detach_keys(detach_keys))
        stack.callback(session.close)
        wait = stack.enter_context(engine.containers.wait_begun(name, condition))
        if start:
            _start(engine, name)
        if tty:
            stack.enter_context(terminal.raw_mode() if stdin else nullcontext())
            stack.enter_context(resized(lambda: _resize(engine, name)))
        session.begin_input()
        if session.pump_output():
            return 0
        return exit_code(wait, name)


def _check_state(found: dict[str, dict[str, object]], container: str, *, start: bool) -> None:
    if start:
        return
    if not found["State"].get("Running"):
        raise HostError(f"container {container} is not running", f"start it with `atoll start -a {container}`")
    if found["State"].get("Paused"):
        raise HostError(f"container {container} is paused", "unpause it first")


def _start(engine: Engine, container: str) -> None:
    try:
        engine.containers.start(container)
    except ApiError as error:
        raise exits.ExitWith(error, exits.start_failure_code(error.message)) from error


def _resize(engine: Engine, container: str) -> None:
    size = terminal.size()
    if size:
        engine.containers.resize(container, height=size[0], width=size[1])
