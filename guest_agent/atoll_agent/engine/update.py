"""Changing a container's limits and restart policy while it lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..api.errors import AgentError, Kind, invalid
from ..cgroups.limits import plan_limits
from .containers import Containers, attributes_of
from .records import Container
from .restarts import parse_policy

NUMBERS = (
    "CpuShares", "Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuPeriod", "CpuQuota", "PidsLimit",
    "BlkioWeight",
)  # fmt: skip
TEXTS = ("CpusetCpus", "CpusetMems")


def merge_update(host: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """A HostConfig with what an update asks for; as with Docker, 0 and "" leave a limit as it is.

    Raises:
        AgentError: a field of the wrong type, or a combination that makes no sense.
    """
    merged = dict(host)
    for name, kind in (*((name, int) for name in NUMBERS), *((name, str) for name in TEXTS)):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise invalid(f"invalid {name}: a {'number' if kind is int else 'string'} is expected")
        if value:
            merged[name] = value
    if body.get("NanoCpus") and (host.get("CpuQuota") or host.get("CpuPeriod")):
        raise invalid("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
    if (body.get("CpuQuota") or body.get("CpuPeriod")) and host.get("NanoCpus"):
        raise invalid("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
    policy = body.get("RestartPolicy")
    if policy is not None and not isinstance(policy, dict):
        raise invalid("invalid RestartPolicy: an object is expected")
    if policy and policy.get("Name"):
        parse_policy(policy, auto_remove=bool(host.get("AutoRemove")))
        merged["RestartPolicy"] = {"Name": policy["Name"], "MaximumRetryCount": policy.get("MaximumRetryCount") or 0}
    return merged


def update_container(container: Container, body: dict[str, Any], containers: Containers) -> None:
    """Change a container; one that runs feels it at once.

    Raises:
        AgentError: impossible, or refused by the kernel; then nothing has changed.
    """
    with container.lock:
        merged = merge_update(container.host_config, body)
        writes = plan_limits(merged, containers.hierarchy)
        directory = containers.cgroup_of(container)
        if container.running and directory is not None:
            _write_all(directory, writes, container)
        container.host_config = merged
        containers.store.save_config(container)
    containers.publish("update", container, attributes_of(container))


def _write_all(directory: Path, writes: list[list[str]], container: Container) -> None:
    done: list[tuple[Path, str]] = []
    try:
        for name, value in writes:
            path = directory / name
            before = path.read_text().strip()
            path.write_text(value)
            done.append((path, before))
    except OSError as error:
        for path, before in reversed(done):
            path.write_text(before)
        raise AgentError(
            Kind.SYSTEM, f"Cannot update container {container.id}: {path.name}: {error.strerror}"
        ) from error
