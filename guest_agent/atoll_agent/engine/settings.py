"""Settings of a HostConfig for which cgroup v2 has no use: told as dockerd tells them, or refused. Pure."""

from __future__ import annotations

from typing import Any

from ..api.errors import invalid

_DISCARDED = (
    ("MemorySwappiness", "memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded."),
    ("OomKillDisable", "OomKillDisable. OomKillDisable discarded."),
    ("KernelMemory", "kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded."),
    ("KernelMemoryTCP", "kernel memory TCP limit capabilities or the cgroup is not mounted. Limitation discarded."),
)


def check_settings(host: dict[str, Any]) -> None:
    """Refuse what dockerd refuses on such a kernel.

    Raises:
        AgentError: in Docker's words.
    """
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise invalid(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if host.get("CpuRealtimePeriod") or host.get("CpuRealtimeRuntime"):
        raise invalid("Your kernel does not support CPU real-time scheduler")
    if host.get("IOMaximumBandwidth") or host.get("IOMaximumIOps"):
        raise invalid("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
    if host.get("StorageOpt"):
        raise invalid("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    if host.get("Isolation") not in (None, "", "default"):
        raise invalid(f"invalid isolation '{str(host['Isolation'])[:40]}' on linux")


def warn_of(host: dict[str, Any]) -> list[str]:
    """What was asked for and has no effect."""
    found = [
        f"Your kernel does not support {what}" for key, what in _DISCARDED if host.get(key) not in (None, 0, False, -1)
    ]
    if host.get("CpuPercent"):
        found.append("linux does not support CPU percent. Percent discarded.")
    return found
