"""What `run` and `create` do.

The order of requests is what makes `run` exact: attach before the start, so that no output is missed; begin to wait
before the start, so that no exit is missed, even of a container that is removed as soon as it ends.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext, suppress

from ..errors import ApiError, ConfigError, HostError, OutcomeUnknown
from . import exits
from .console import keys, terminal
from .options import read_options
from .render import out, warn
from .request import ContainerOptions, build_create_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client.containers import Wait
    from ..client.engine import Engine
    from .target import Target


def run_container(target: Target, raw: dict[str, Any]) -> int:
    """Do what `run` is asked for by these values of its flags; returns the exit code.

    Raises:
        ExitWith: with the code that belongs to the failure.
    """
    with exits.engine_failures():
        launch = Launch(target, raw)
        return launch.run_detached() if launch.options.detach else launch.run_attached()


class Launch:
    """One `run` or `create`, with what was asked for sorted into the engine's part and this side's."""

    def __init__(self, target: Target, raw: dict[str, Any]) -> None:
        self._name: str = raw.pop("name") or ""
        self._platform: str = raw.pop("platform") or ""
        self._cidfile: str | None = raw.pop("cidfile")
        self._detach_keys: str | None = raw.pop("detach_keys")
        self._sig_proxy: bool = raw.pop("sig_proxy")
        self.options: ContainerOptions = read_options(raw)
        if self.options.use_api_socket:
            self.options.api_socket = target.api_socket()
        self._keys = parse_detach_keys(self._detach_keys)
        self._target = target

    @property
    def _engine(self) -> Engine:
        return self._target.engine()

    def _check_terminal(self) -> None:
        attached = "stdin" in self.options.streams
        if self.options.tty and attached and self.options.interactive and not terminal.is_terminal(terminal.STDIN):
            raise ConfigError("the input device is not a terminal", "leave out -t when stdin is a pipe or a file")

    def create(self) -> str:
        """Create the container; returns its id.

        Raises:
            HostError: a flag makes no sense, no such image, the name is taken, ...
        """
        options = self.options
        try:
            request = build_create_request(options, os.environ)
        except ValueError as error:
            raise ConfigError(str(error), "see `atoll run --help`") from error
        size = terminal.size() if options.tty else None
        if size:
            request["HostConfig"]["ConsoleSize"] = list(size)
        self._reserve_cidfile()
        try:
            created = self._engine.containers.create(request, name=self._name, platform=self._platform)
        except ApiError as error:
            self._drop_cidfile()
            raise _explain_create(error, options.image) from error
        except HostError:
            self._drop_cidfile()
            raise
        for warning in created.get("Warnings") or ():
            warn(warning)
        if self._cidfile:
            with open(self._cidfile, "w", encoding="ascii") as file:
                file.write(created["Id"])
        return created["Id"]

    def _reserve_cidfile(self) -> None:
        """Take the file before anything is created: a container nobody has the id of would be worse than none."""
        if self._cidfile:
            try:
                open(self._cidfile, "x").close()
            except FileExistsError:
                raise ConfigError(
                    f"container id file exists: {self._cidfile}", "remove it when its container is no longer needed"
                ) from None
            except OSError as error:
                raise ConfigError(f"cannot write {self._cidfile}: {(error.strerror or '').lower()}") from error

    def _drop_cidfile(self) -> None:
        if self._cidfile:
            with suppress(FileNotFoundError):
                os.unlink(self._cidfile)  # noqa: PTH108 - pathlib takes 10 ms to import

    def run_detached(self) -> int:
        """Start in the background."""
        container = self.create()
        self._start(container)
        out(container)
        return 0

    def run_attached(self) -> int:
        """Start, pass streams and signals on until the container ends; returns its exit code."""
        from .console.session import Session
        from .console.signals import forwarded, resized

        self._check_terminal()
        options = self.options
        container = self.create()
        containers = self._engine.containers
        with ExitStack() as stack:
            if self._sig_proxy:
                stack.enter_context(forwarded(lambda name: containers.kill(container, name)))
            streams = options.streams
            stream = containers.attach(
                container,
                stdin="stdin" in streams and options.interactive,
                stdout="stdout" in streams,
                stderr="stderr" in streams,
                detach_keys=self._detach_keys,
            )
            stdin = options.interactive and "stdin" in streams
            session = Session(stream, tty=options.tty, stdin=stdin, detach_keys=self._keys)
            stack.callback(session.close)
            wait = stack.enter_context(containers.wait_begun(container, "removed" if options.rm else "next-exit"))
            self._start(container)
            if options.tty:
                stack.enter_context(terminal.raw_mode() if stdin else nullcontext())
                stack.enter_context(resized(lambda: _resize(self._engine, container)))
            session.begin_input()
            if session.pump_output():
                return 0
            return exit_code(wait, container)

    def _start(self, container: str) -> None:
        try:
            self._engine.containers.start(container)
        except ApiError as error:
            if self.options.rm:  # the engine has removed it again
                self._drop_cidfile()
            raise exits.ExitWith(error, exits.start_failure_code(error.message)) from error


def _resize(engine: Engine, container: str) -> None:
    size = terminal.size()
    if size:
        engine.containers.resize(container, height=size[0], width=size[1])


def exit_code(wait: Wait, container: str) -> int:
    """The container's exit code, once it has ended.

    Raises:
        OutcomeUnknown: the engine went away in the middle.
        ApiError: the engine failed to run the container to its end.
    """
    from .console.session import interruptible

    try:
        result = interruptible(wait.result)
    except OutcomeUnknown as error:
        raise OutcomeUnknown(
            f"lost the engine while container {container[:12]} was running",
            "the machine may have stopped; see `atoll machine ls` and `atoll ps -a`",
        ) from error
    failure = result.get("Error")
    if failure and failure.get("Message"):
        raise ApiError(500, failure["Message"])
    return int(result["StatusCode"])


def parse_detach_keys(text: str | None) -> bytes:
    """Parse `--detach-keys`.

    Raises:
        ConfigError: no such key.
    """
    try:
        return keys.parse_keys(keys.DEFAULT if text is None else text)
    except ValueError as error:
        raise ConfigError(str(error), "use single characters or ctrl-a to ctrl-z, separated by commas") from error


def _explain_create(error: ApiError, image: str) -> HostError:
    if error.status == 404 and "no such image" in error.message.lower():
        return HostError(
            f"unable to find image '{image}' locally",
            "load it with `atoll load -i FILE`; `atoll images` lists what is there",
        )
    return error
