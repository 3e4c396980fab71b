"""`atoll pause`, `unpause`, `rename` and `update`: what may change while a container runs."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigError
from . import values
from .containers import for_each
from .lazy import DockerCommand, pass_target
from .render import warn
from .target import Target

UPDATE_EXAMPLES = """\b
Examples:
  atoll update -m 512m --memory-swap 1g web
  atoll update --restart unless-stopped web db
"""


@click.command(cls=DockerCommand)
@click.argument("containers", nargs=-1, required=True)
@pass_target
def pause(target: Target, containers: tuple[str, ...]) -> int:
    """Stop all processes of containers where they are."""
    engine = target.engine()
    return for_each(containers, lambda name: engine.containers.pause(name))


@click.command(cls=DockerCommand)
@click.argument("containers", nargs=-1, required=True)
@pass_target
def unpause(target: Target, containers: tuple[str, ...]) -> int:
    """Let the processes of paused containers go on."""
    engine = target.engine()
    return for_each(containers, lambda name: engine.containers.unpause(name))


@click.command(cls=DockerCommand)
@click.argument("container")
@click.argument("name")
@pass_target
def rename(target: Target, container: str, name: str) -> None:
    """Give CONTAINER another NAME."""
    if not container.strip() or not name.strip():
        raise ConfigError("neither the old nor the new name may be empty", "use `atoll rename OLD NEW`")
    target.engine().containers.rename(container.strip(), name.strip())


@click.command(cls=DockerCommand, epilog=UPDATE_EXAMPLES)
@click.option("--blkio-weight", type=int, metavar="NUMBER", help="Weight of its disk access, 10 to 1000.")
@click.option("--cpu-period", type=int, metavar="NUMBER", help="Period of the CPU limit, microseconds.")
@click.option("--cpu-quota", type=int, metavar="NUMBER", help="CPU time per period, microseconds.")
@click.option("--cpu-rt-period", type=int, metavar="NUMBER", help="Period of the real-time CPU limit.")
@click.option("--cpu-rt-runtime", type=int, metavar="NUMBER", help="Real-time CPU time per period.")
@click.option("-c", "--cpu-shares", type=int, metavar="NUMBER", help="Weight against other containers.")
@click.option("--cpus", metavar="NUMBER", help="Number of CPUs, as 1.5.")
@click.option("--cpuset-cpus", metavar="LIST", help="CPUs to run on, as 0-2,4.")
@click.option("--cpuset-mems", metavar="LIST", help="Memory nodes to use.")
@click.option("-m", "--memory", metavar="SIZE", help="Memory limit.")
@click.option("--memory-reservation", metavar="SIZE", help="Memory to protect from others.")
@click.option("--memory-swap", metavar="SIZE", help="Limit of memory and swap together; -1 for no limit.")
@click.option("--pids-limit", type=int, metavar="NUMBER", help="Limit of processes; -1 for none.")
@click.option("--restart", metavar="POLICY", help="Restart policy: no, always, unless-stopped, on-failure[:N].")
@click.argument("containers", nargs=-1, required=True)
@pass_target
def update(target: Target, /, containers: tuple[str, ...], **flags: Any) -> int:
    """Change limits and restart policy of containers."""
    try:
        changes = build_update(flags)
    except ValueError as error:
        raise ConfigError(str(error), "see `atoll update --help`") from error
    if not changes:
        raise ConfigError("nothing to change", "name at least one flag, as `atoll update -m 512m NAME`")
    engine = target.engine()

    def change(name: str) -> None:
        for warning in engine.containers.update(name, changes):
            warn(warning)

    return for_each(containers, change)


def build_update(flags: dict[str, Any]) -> dict[str, Any]:
    """Build the body of `POST /containers/{id}/update` of what was asked for (pure).

    Raises:
        ValueError: a flag's value makes no sense.
    """
    fields = {
        "BlkioWeight": flags["blkio_weight"],
        "CpuPeriod": flags["cpu_period"],
        "CpuQuota": flags["cpu_quota"],
        "CpuRealtimePeriod": flags["cpu_rt_period"],
        "CpuRealtimeRuntime": flags["cpu_rt_runtime"],
        "CpuShares": flags["cpu_shares"],
        "CpusetCpus": flags["cpuset_cpus"],
        "CpusetMems": flags["cpuset_mems"],
        "Memory": values.parse_size(flags["memory"]) if flags["memory"] else None,
        "MemoryReservation": values.parse_size(flags["memory_reservation"]) if flags["memory_reservation"] else None,
        "MemorySwap": values.parse_swap(flags["memory_swap"]) if flags["memory_swap"] else None,
        "NanoCpus": values.parse_cpus(flags["cpus"]) if flags["cpus"] else None,
        "PidsLimit": flags["pids_limit"],
        "RestartPolicy": values.parse_restart(flags["restart"]) if flags["restart"] else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
