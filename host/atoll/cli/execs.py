"""`atoll exec`: a command in a running container."""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError
from . import values
from .console import terminal
from .lazy import DockerCommand
from .run import parse_detach_keys
from .target import Target, pass_target

if TYPE_CHECKING:
    from ..client.engine import Engine
    from ..client.types import ExecRequest

EXAMPLES = """\b
Examples:
  atoll exec web ls /srv
  atoll exec -it web sh
  tar c . | atoll exec -i web tar x -C /srv
"""


@click.command("exec", cls=DockerCommand, context_settings={"allow_interspersed_args": False}, epilog=EXAMPLES)
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@click.option("--detach-keys", metavar="KEYS", help="Keys that leave the command.  [default: ctrl-p,ctrl-q]")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Read variables from a file.")
@click.option("-i", "--interactive", is_flag=True, help="Keep stdin open.")
@click.option("--privileged", is_flag=True, help="Give the command all capabilities.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="User to run as.")
@click.option("-w", "--workdir", metavar="PATH", help="Directory the command starts in.")
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_target
def exec_(
    target: Target,
    container: str,
    command: tuple[str, ...],
    detach: bool,
    detach_keys: str | None,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    interactive: bool,
    privileged: bool,
    tty: bool,
    user: str | None,
    workdir: str | None,
) -> int:
    """Run a command in a running container; the exit code is the command's."""
    keys = parse_detach_keys(detach_keys)
    stdin = interactive and not detach
    if tty and stdin and not terminal.is_terminal(terminal.STDIN):
        raise ConfigError("the input device is not a terminal", "leave out -t when stdin is a pipe or a file")
    request: ExecRequest = {
        "AttachStdin": stdin,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Cmd": list(command),
        "Tty": tty,
    }
    environment = _environment(env, env_file)
    if environment:
        request["Env"] = environment
    if detach_keys is not None:
        request["DetachKeys"] = detach_keys
    if privileged:
        request["Privileged"] = True
    if user:
        request["User"] = user
    if workdir:
        request["WorkingDir"] = workdir
    size = terminal.size() if tty else None
    if size:
        request["ConsoleSize"] = list(size)
    engine = target.engine()
    exec_id = engine.containers.create_exec(container, request)
    if detach:
        engine.execs.start_detached(exec_id, tty=tty)
        return 0
    return _run_attached(engine, exec_id, tty=tty, stdin=stdin, keys=keys)


def _environment(env: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    entries: list[str] = []
    try:
        for name in files:
            entries += values.parse_env_file(Path(name).read_text(encoding="utf-8"))
        return values.resolve_environment([*entries, *env], os.environ)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error), "") from error


def _run_attached(engine: Engine, exec_id: str, *, tty: bool, stdin: bool, keys: bytes) -> int:
    from .console.session import Session
    from .console.signals import resized

    with ExitStack() as stack:
        session = Session(engine.execs.start(exec_id, tty=tty), tty=tty, stdin=stdin, detach_keys=keys)
        stack.callback(session.close)
        if tty:
            stack.enter_context(terminal.raw_mode() if stdin else nullcontext())
            stack.enter_context(resized(lambda: _resize(engine, exec_id)))
        session.begin_input()
        if session.pump_output():
            return 0
    # Its output may have ended because the machine did: then this fails, and says so.
    return int(engine.execs.inspect(exec_id).get("ExitCode") or 0)


def _resize(engine: Engine, exec_id: str) -> None:
    size = terminal.size()
    if size:
        engine.execs.resize(exec_id, height=size[0], width=size[1])
