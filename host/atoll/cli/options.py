"""The flags of `run` and `create`, spelled as Docker's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import ConfigError
from .request import ContainerOptions
from .values import parse_env_file

F = TypeVar("F", bound=Callable[..., Any])


def _text(*names: str, help: str, metavar: str = "TEXT", **kwargs: Any) -> Callable[[F], F]:
    return click.option(*names, metavar=metavar, help=help, **kwargs)


def _many(*names: str, help: str, metavar: str = "TEXT") -> Callable[[F], F]:
    return click.option(*names, multiple=True, metavar=metavar, help=help)


def _flag(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, is_flag=True, help=help)


def _number(*names: str, help: str) -> Callable[[F], F]:
    return click.option(*names, type=int, metavar="NUMBER", help=help)


CONTAINER_OPTIONS = [
    _flag("-i", "--interactive", help="Keep stdin open."),
    _flag("-t", "--tty", help="Give the container a terminal."),
    _text("--name", help="Name of the container; one is made up otherwise.", metavar="NAME"),
    _flag("--rm", help="Remove the container when it ends."),
    _many("-e", "--env", help="Set a variable; NAME alone takes its value from here.", metavar="NAME[=VALUE]"),
    _many("--env-file", help="Read variables from a file.", metavar="FILE"),
    _text("-w", "--workdir", help="Directory the command starts in.", metavar="PATH"),
    _text("-u", "--user", help="User to run as, by name or number.", metavar="USER[:GROUP]"),
    _many("-v", "--volume", help="Mount a directory or a volume.", metavar="SOURCE:TARGET[:ro]"),
    _many("--mount", help="Mount, spelled out.", metavar="type=T,source=S,target=T"),
    _many("--tmpfs", help="Mount an empty directory in memory.", metavar="TARGET[:OPTIONS]"),
    _text("--network", "--net", help="Network: none, bridge.", metavar="NETWORK"),
    _text("-m", "--memory", help="Memory limit.", metavar="SIZE"),
    _text("--memory-swap", help="Limit of memory and swap together; -1 for no limit.", metavar="SIZE"),
    _text("--memory-reservation", help="Memory to protect from others.", metavar="SIZE"),
    _text("--cpus", help="Number of CPUs, as 1.5.", metavar="NUMBER"),
    _number("-c", "--cpu-shares", help="Weight against other containers."),
    _number("--cpu-period", help="Period of the CPU limit, microseconds."),
    _number("--cpu-quota", help="CPU time per period, microseconds."),
    _text("--cpuset-cpus", help="CPUs to run on, as 0-2,4.", metavar="LIST"),
    _text("--cpuset-mems", help="Memory nodes to use.", metavar="LIST"),
    _number("--pids-limit", help="Limit of processes; -1 for none."),
    _many("--ulimit", help="Limit per process.", metavar="NAME=SOFT[:HARD]"),
    _text("--shm-size", help="Size of /dev/shm.", metavar="SIZE"),
    _flag("--oom-kill-disable", help="Do not kill the container when memory runs out."),
    _number("--oom-score-adj", help="How likely it is to be killed when memory runs out."),
    _flag("--read-only", help="Mount the root read-only."),
    _many("--cap-add", help="Add a Linux capability.", metavar="CAP"),
    _many("--cap-drop", help="Drop a Linux capability.", metavar="CAP"),
    _many("--security-opt", help="no-new-privileges, seccomp=unconfined|FILE.", metavar="OPTION"),
    _flag("--privileged", help="Give up nearly all isolation inside the machine."),
    _many("--device", help="Make a device of the machine available.", metavar="PATH"),
    _many("--group-add", help="Join another group.", metavar="GROUP"),
    _text("--entrypoint", help="Replace the image's entry point.", metavar="COMMAND"),
    _flag("--init", help="Run a small init that reaps and forwards signals."),
    _text("-h", "--hostname", help="Host name.", metavar="NAME"),
    _text("--domainname", help="NIS domain name.", metavar="NAME"),
    _many("--add-host", help="Add a line to /etc/hosts.", metavar="NAME:ADDRESS"),
    _many("--dns", help="Name server.", metavar="ADDRESS"),
    _many("-l", "--label", help="Set a label.", metavar="NAME=VALUE"),
    _many("--sysctl", help="Set a kernel parameter of the container.", metavar="NAME=VALUE"),
    _text("--pid", help="Share another's processes.", metavar="host|container:NAME"),
    _text("--ipc", help="Share another's IPC.", metavar="MODE"),
    _text("--uts", help="Share the machine's host name.", metavar="host"),
    _text("--cgroupns", help="private or host.", metavar="MODE"),
    _text("--cgroup-parent", help="Parent cgroup.", metavar="PATH"),
    _text("--restart", help="Restart policy: no, always, unless-stopped, on-failure[:N].", metavar="POLICY"),
    _text("--log-driver", help="json-file, local or none.", metavar="DRIVER"),
    _many("--log-opt", help="Option of the log driver.", metavar="NAME=VALUE"),
    _text("--stop-signal", help="Signal that `stop` sends.", metavar="SIGNAL"),
    _number("--stop-timeout", help="Seconds until `stop` kills."),
    _many("-a", "--attach", help="Attach to stdin, stdout or stderr only.", metavar="STREAM"),
    _text("--cidfile", help="Write the container's id to a file.", metavar="FILE"),
    _text("--platform", help="Platform of the image, as linux/arm64.", metavar="OS/ARCH"),
]


def container_options(function: F) -> F:
    """Decorate a command with the flags that `run` and `create` share, and with IMAGE [COMMAND] [ARG...]."""
    function = click.argument("image")(click.argument("command", nargs=-1, type=click.UNPROCESSED)(function))
    for option in reversed(CONTAINER_OPTIONS):
        function = option(function)
    return function


def read_options(raw: dict[str, Any]) -> ContainerOptions:
    """Make options of click's values: read the files they name.

    Raises:
        ConfigError: a file cannot be read or makes no sense.
    """
    env: list[str] = []
    for name in raw.pop("env_file"):
        try:
            env += parse_env_file(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"cannot use environment file {name}: {_reason(error)}",
                "",
            ) from error
    raw["env"] = (*env, *raw["env"])
    raw["security_opt"] = tuple(_inline_profile(option) for option in raw["security_opt"])
    raw["volume"] = tuple(_absolute_bind(volume) for volume in raw["volume"])
    return ContainerOptions(**raw)


def _reason(error: Exception) -> str:
    return (error.strerror or "").lower() if isinstance(error, OSError) else str(error)


def _inline_profile(option: str) -> str:
    """The engine cannot see the host's files: a seccomp profile travels as JSON."""
    name, _, value = option.replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
    if name != "seccomp" or value in ("", "unconfined", "builtin"):
        return option
    try:
        return f"seccomp={Path(value).read_text(encoding='utf-8')}"
    except OSError as error:
        raise ConfigError(f"cannot read seccomp profile {value}: {_reason(error)}", "") from error


def _absolute_bind(volume: str) -> str:
    """A source that begins with a dot or a tilde is a path from here, as in Docker's CLI."""
    source, colon, rest = volume.partition(":")
    if not colon or not source.startswith((".", "~")):
        return volume
    return f"{os.path.abspath(os.path.expanduser(source))}:{rest}"  # noqa: PTH100, PTH111 - resolve() would follow links
