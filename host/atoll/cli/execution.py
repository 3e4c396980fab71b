"""What `exec` does."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, nullcontext

from ..errors import ConfigError, ProtocolError
from .console import terminal
from .launch import parse_detach_keys
from .options import read_env_files
from .values import resolve_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client.engine import Engine
    from ..client.types import ExecRequest
    from .target import Target

EXIT_DEADLINE_S = 10.0
EXIT_POLL_S = 0.01


def execute(
    target: Target,
    *,
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
    """Run a command in a running container; returns its exit code."""
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
    try:
        environment = resolve_environment(env, os.environ, read_env_files(env_file))
    except ValueError as error:
        raise ConfigError(str(error)) from error
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
    return _exit_code(engine, exec_id)


def _exit_code(engine: Engine, exec_id: str) -> int:
    """The command's exit code. Its output may end shortly before its exit is noted, or because the machine died.

    Raises:
        HostError: the engine cannot be asked any more, or the exit is not noted in time.
    """
    deadline = time.monotonic() + EXIT_DEADLINE_S
    while True:
        found = engine.execs.inspect(exec_id)
        code = found.get("ExitCode")
        if code is not None and not found.get("Running"):
            return int(code)
        if time.monotonic() > deadline:
            raise ProtocolError("the output of the command ended, but the engine says it is still running")
        time.sleep(EXIT_POLL_S)


def _resize(engine: Engine, exec_id: str) -> None:
    size = terminal.size()
    if size:
        engine.execs.resize(exec_id, height=size[0], width=size[1])
