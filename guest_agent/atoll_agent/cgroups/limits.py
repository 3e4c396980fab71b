"""All of a container's limits together."""

from __future__ import annotations

from typing import Any

from ..api.errors import AgentError, Kind
from ..linux.processors import count_processors
from . import cpu, cpuset, io, memory, pids
from .hierarchy import Hierarchy


def plan_limits(host_config: dict[str, Any], hierarchy: Hierarchy) -> list[list[str]]:
    """The writes for a HostConfig.

    Raises:
        AgentError: an impossible value, or a limit that this host cannot enforce.
    """
    number = _Numbers(host_config)
    available = count_processors()
    planned = {
        memory.CONTROLLER: memory.plan(number["Memory"], number["MemorySwap"], number["MemoryReservation"]),
        cpu.CONTROLLER: cpu.plan(
            number["NanoCpus"], number["CpuShares"], number["CpuPeriod"], number["CpuQuota"], available
        ),
        cpuset.CONTROLLER: cpuset.plan(
            host_config.get("CpusetCpus") or "", host_config.get("CpusetMems") or "", available
        ),
        pids.CONTROLLER: pids.plan(host_config.get("PidsLimit")),
        io.CONTROLLER: io.plan(host_config),
    }
    writes: list[list[str]] = []
    for controller, lines in planned.items():
        if lines and controller not in hierarchy.controllers:
            raise AgentError(
                Kind.INVALID,
                f"cannot limit {controller}: cgroup v2 has no {controller} controller on this host "
                "(boot it with cgroup v2 only, or run the container in a machine)",
            )
        writes += lines
    return writes


class _Numbers:
    def __init__(self, host_config: dict[str, Any]) -> None:
        self._config = host_config

    def __getitem__(self, name: str) -> int:
        return int(self._config.get(name) or 0)
