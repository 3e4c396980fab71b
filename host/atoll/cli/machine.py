"""`atoll machine`: the machines that containers run in."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from .lazy import DockerCommand
from .render import out, out_bytes, print_json, say, warn
from .template import print_list

if TYPE_CHECKING:
    from ..machine.store import Machine
    from ..ssh.client import RemoteCommand

DEFAULT = "default"
COLUMNS = {
    "Name": "name",
    "State": "state",
    "Driver": "driver",
    "CPUs": "cpus",
    "Memory": "memory",
    "Disk": "disk",
    "Accelerator": "accel",
}
SHELLS = ("sh", "fish", "powershell", "cmd")

EXAMPLES = """\b
Examples:
  atoll machine create big --cpus 4 --memory 4g    make a second machine
  atoll machine start big                          boot it
  atoll --machine big run --rm atoll/base uname -a
  eval "$(atoll machine env big)"; docker ps       use other Docker clients with it
  atoll machine stop big && atoll machine rm big
"""


@click.group("machine", epilog=EXAMPLES)
def machine_group() -> None:
    """Manage the machines that containers run in.

    A machine is a lightweight Linux VM with an engine of its own. The one called "default" is made when the first
    container is run.
    """


def _size_mib(text: str) -> int:
    from .values import parse_size

    return parse_size(text if text[-1:].isalpha() else f"{text}m") >> 20


def _size_gib(text: str) -> int:
    from .values import parse_size

    return parse_size(text if text[-1:].isalpha() else f"{text}g") >> 30


SETTINGS = [
    click.option("--cpus", type=int, metavar="N", help="Virtual processors (default: 2)."),
    click.option("--memory", metavar="SIZE", help="RAM, as 2g or 1500m (default: 1g)."),
    click.option("--disk", metavar="SIZE", help="Most the data disk may grow to (default: 64g)."),
    click.option(
        "--accel",
        type=click.Choice(["auto", "kvm", "hvf", "whpx", "tcg"]),
        help="What runs the machine; auto proves what works (default: auto).",
    ),
]


def _settings(function: Any) -> Any:
    for option in reversed(SETTINGS):
        function = option(function)
    return function


def _read_settings(cpus: int | None, memory: str | None, disk: str | None, accel: str | None) -> dict[str, Any]:
    return {
        "cpus": cpus,
        "memory_mib": _size_mib(memory) if memory else None,
        "disk_gib": _size_gib(disk) if disk else None,
        "accelerator": accel,
    }


@machine_group.command(cls=DockerCommand)
@click.argument("name", default=DEFAULT)
@_settings
@click.option(
    "--arch", type=click.Choice(["amd64", "arm64"]), help="The machine's architecture (default: this computer's)."
)
@click.option(
    "--driver", type=click.Choice(["qemu", "native"]), help="qemu, or native: no VM, on this Linux host as root."
)
def create(
    name: str,
    cpus: int | None,
    memory: str | None,
    disk: str | None,
    accel: str | None,
    arch: str | None,
    driver: str | None,
) -> None:
    """Make a machine without starting it."""
    from ..machine.lifecycle import make

    made = make(name, arch=arch, driver=driver, **_read_settings(cpus, memory, disk, accel))
    out(made.name)


@machine_group.command(cls=DockerCommand)
@click.argument("name", default=DEFAULT)
def start(name: str) -> None:
    """Start a machine and wait until its engine answers."""
    from ..machine import lifecycle
    from ..machine.store import get_machine

    lifecycle.start(get_machine(name), say=say)
    out(name)


@machine_group.command(cls=DockerCommand)
@click.argument("name", default=DEFAULT)
@click.option(
    "-t", "--time", "timeout", type=float, default=30.0, metavar="SECONDS", help="Before it is ended by force."
)
def stop(name: str, timeout: float) -> None:
    """Stop a machine: its containers first, then itself."""
    from ..machine import lifecycle
    from ..machine.store import get_machine

    if not lifecycle.stop(get_machine(name), timeout):
        say(f"machine {name} was not running")
    out(name)


@machine_group.command(cls=DockerCommand)
@click.argument("name", default=DEFAULT)
def restart(name: str) -> None:
    """Stop a machine and start it again."""
    from ..machine import lifecycle
    from ..machine.store import get_machine

    machine = get_machine(name)
    lifecycle.stop(machine)
    lifecycle.start(machine, say=say)
    out(name)


@machine_group.command(cls=DockerCommand)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-f", "--force", is_flag=True, help="Stop it first if it runs.")
def rm(names: tuple[str, ...], force: bool) -> None:
    """Remove machines with their images, containers and volumes."""
    from ..machine import lifecycle
    from ..machine.store import get_machine

    for name in names:
        lifecycle.remove(get_machine(name), force=force)
        out(name)


@machine_group.command("ls", cls=DockerCommand)
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--format", metavar="FORMAT", help="json, or a template as 'table {{.Name}}\\t{{.State}}'.")
def list_(quiet: bool, format: str | None) -> None:
    """List machines."""
    from ..machine.store import list_machines

    rows = [summarize(machine) for machine in list_machines()]
    if quiet and format is None:
        for row in rows:
            out(row["Name"])
        return
    print_list(rows, COLUMNS, format)


def summarize(machine: Machine) -> dict[str, str]:
    """A row of the list."""
    config, state = machine.config, machine.read_state()
    native = config.driver == "native"
    return {
        "Name": machine.name,
        "State": machine.status,
        "Driver": config.driver,
        "Arch": config.arch,
        "CPUs": "host" if native else str(config.cpus),
        "Memory": "host" if native else f"{config.memory_mib} MiB",
        "Disk": "host" if native else f"{config.disk_gib} GiB",
        "Accelerator": state.accelerator if state and machine.status == "running" else "",
    }


@machine_group.command(cls=DockerCommand)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--format", "_format", metavar="FORMAT", type=click.Choice(["json"]), help="json (the default).")
def inspect(names: tuple[str, ...], _format: str | None) -> None:
    """Show everything about machines."""
    from ..machine.store import get_machine

    print_json([describe(get_machine(name)) for name in names or (DEFAULT,)])


def describe(machine: Machine) -> dict[str, Any]:
    """All that is known of a machine."""
    from dataclasses import asdict

    state, endpoint = machine.read_state(), machine.endpoint()
    running = state if state and endpoint else None
    disk = machine.file("data.qcow2")
    return {
        "Name": machine.name,
        "Status": machine.status,
        "Directory": str(machine.directory),
        "Config": asdict(machine.config),
        "DockerHost": endpoint.to_docker_host() if endpoint else "",
        "SSHPort": running.ssh_port if running else 0,
        "Accelerator": running.accelerator if running else "",
        "AcceleratorReason": running.reason if running else "",
        "KeeperPid": running.pid if running else 0,
        "QemuPid": running.qemu_pid if running else 0,
        "DiskBytes": disk.stat().st_size if disk.exists() else 0,
        "Error": state.error if state and not endpoint else "",
    }


@machine_group.command(cls=DockerCommand)
@click.argument("name", default=DEFAULT)
@click.option("--keeper", is_flag=True, help="What the keeper says, instead of the machine's console.")
def logs(name: str, keeper: bool) -> None:
    """Show a machine's console: its kernel and agent."""
    from ..machine.store import get_machine

    path = get_machine(name).file("keeper.log" if keeper else "console.log")
    if path.exists():
        out_bytes(path.read_bytes())


@machine_group.command("set", cls=DockerCommand)
@click.argument("name", default=DEFAULT)
@_settings
@click.option(
    "--tcp",
    metavar="HOST:PORT",
    help="Let the API answer on a TCP port, too (usually 127.0.0.1:2376); 'none' takes it away.",
)
@click.option("--tls/--no-tls", default=None, help="Whether that port asks for the client's certificate (it does).")
def set_(
    name: str,
    cpus: int | None,
    memory: str | None,
    disk: str | None,
    accel: str | None,
    tcp: str | None,
    tls: bool | None,
) -> None:
    """Change a machine's settings; they take effect at its next start."""
    from dataclasses import replace

    from ..config import save_config
    from ..errors import ConfigError
    from ..machine.store import get_machine

    machine = get_machine(name)
    asked = _read_settings(cpus, memory, disk, accel) | {"tcp": "" if tcp == "none" else tcp, "tls": tls}
    chosen = {key: value for key, value in asked.items() if value is not None}
    if not chosen:
        raise ConfigError("nothing to set", "see `atoll machine set --help`")
    if chosen.get("disk_gib", machine.config.disk_gib) != machine.config.disk_gib:
        raise ConfigError("the disk of a machine keeps its size in this version", "make a new machine with --disk")
    config = replace(machine.config, **chosen).check()
    if config.tcp and config.driver == "native":
        raise ConfigError("the native driver has no TCP port", "use its unix socket, or a machine in QEMU")
    save_config(config, machine.file("machine.json"))
    if config.tcp and not config.tls:
        warn(
            f"without TLS everybody who reaches {config.tcp} has machine {name}, and what of this computer it is given"
        )
    if machine.status == "running":
        say(f"machine {name} is running; restart it for the change to take effect")
    out(name)


@machine_group.command(cls=DockerCommand)
@click.argument("name", default=DEFAULT)
@click.option("--shell", type=click.Choice(SHELLS), help="Whose syntax to print (default: guessed).")
@click.option("--tcp", is_flag=True, help="Its TCP port, with the client's certificate (see `machine set --tcp`).")
def env(name: str, shell: str | None, tcp: bool) -> None:
    """Print the setting that points other Docker clients at a machine."""
    from ..errors import MachineState
    from ..machine.store import get_machine

    machine = get_machine(name)
    endpoint = machine.endpoint()
    if endpoint is None:
        raise MachineState(f"machine {name} is not running", f"start it with `atoll machine start {name}`")
    if tcp:
        out(format_settings(_tcp_settings(machine), shell or guess_shell()))
        return
    out(format_env(endpoint.to_docker_host(), shell or guess_shell()))


def _tcp_settings(machine: Machine) -> dict[str, str]:
    from ..config import split_address
    from ..errors import MachineState
    from ..machine.endpoint import Endpoint

    config = machine.config
    if not config.tcp:
        raise MachineState(
            f"machine {config.name} has no TCP port", f"give it one with `atoll machine set {config.name} --tcp`"
        )
    host, port = split_address(config.tcp)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    settings = {"DOCKER_HOST": Endpoint("tcp", address).to_docker_host()}
    if config.tls:
        settings |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(machine.file("tls"))}
    return settings


def guess_shell() -> str:
    """The shell whose syntax fits the caller."""
    if sys.platform == "win32":
        return "powershell" if "PSModulePath" in os.environ else "cmd"
    return "fish" if os.environ.get("SHELL", "").endswith("fish") else "sh"


def format_env(docker_host: str, shell: str) -> str:
    """DOCKER_HOST in a shell's syntax."""
    return format_settings({"DOCKER_HOST": docker_host}, shell)


def format_settings(settings: dict[str, str], shell: str) -> str:
    """Variables in a shell's syntax, one a line."""
    form = {
        "sh": "export {}='{}'",
        "fish": "set -gx {} '{}'",
        "powershell": "$Env:{} = '{}'",
        "cmd": "set {}={}",
    }[shell]
    return "\n".join(form.format(name, value) for name, value in settings.items())


def _connect(name: str) -> tuple[Any, Machine]:
    from ..errors import MachineState
    from ..machine.store import get_machine
    from ..ssh.client import connect

    machine = get_machine(name)
    state = machine.read_state()
    if machine.endpoint() is None or state is None:
        raise MachineState(f"machine {name} is not running", f"start it with `atoll machine start {name}`")
    if not state.ssh_port:
        raise MachineState(f"machine {name} has no SSH", "the native driver runs on this host; use a shell here")
    return connect(machine.directory, state.ssh_port), machine


@machine_group.command(cls=DockerCommand, context_settings={"ignore_unknown_options": True})
@click.argument("name", default=DEFAULT)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND...]")
def ssh(name: str, command: tuple[str, ...]) -> int:
    """Open a shell in a machine, or run a command there."""
    from ..ssh.client import RemoteCommand
    from .console import signals, terminal

    client, _machine = _connect(name)
    try:
        interactive = not command and terminal.is_terminal(0)
        size = terminal.size() if interactive else None
        remote = RemoteCommand(client, " ".join(command), (size[1], size[0]) if size else None)

        def write(data: bytes, error: bool) -> None:
            out_bytes(data, error=error)

        stdin = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - it is not ours to close
        if not interactive:
            return remote.run(stdin, write)
        with terminal.raw_mode(), signals.resized(lambda: _resize(remote)):
            return remote.run(stdin, write)
    finally:
        client.close()


def _resize(remote: RemoteCommand) -> None:
    from .console.terminal import size

    now = size()
    if now:
        remote.resize(now[1], now[0])


@machine_group.command(cls=DockerCommand)
@click.argument("source")
@click.argument("target")
def cp(source: str, target: str) -> None:
    """Copy files between this computer and a machine.

    One side is a path here, the other MACHINE:PATH.
    """
    from pathlib import Path

    from ..errors import ConfigError
    from ..ssh.client import copy_in, copy_out

    inside, outside = _machine_path(source), _machine_path(target)
    if bool(inside) == bool(outside):
        raise ConfigError("one side must be a path here, the other MACHINE:PATH", "atoll machine cp file default:/tmp/")
    if inside:
        client, _ = _connect(inside[0])
        try:
            copy_out(client, inside[1], Path(target))
        finally:
            client.close()
    elif outside:
        client, _ = _connect(outside[0])
        try:
            copy_in(client, Path(source), outside[1])
        finally:
            client.close()


def _machine_path(text: str) -> tuple[str, str] | None:
    """`name:/path`, but not a drive letter."""
    name, colon, path = text.partition(":")
    if not colon or len(name) == 1 or "/" in name or "\\" in name:
        return None
    return name, path or "/root"
