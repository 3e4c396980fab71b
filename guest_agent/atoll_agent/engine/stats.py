"""`GET /containers/{id}/stats`: what a container uses, in Docker's shape."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ..cgroups import stats
from ..linux.processors import count_processors
from ..runtime.log_file import format_time
from .records import NEVER, Container

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def measure(container: Container, directory: Path | None) -> dict[str, Any]:
    """One measurement, without the one before it.

    Arguments:
        directory: the container's cgroup; None where it has none.
    """
    names = {"name": f"/{container.name}", "id": container.id}
    if not container.running or directory is None:
        return {"read": NEVER, "pids_stats": {}, "cpu_stats": {}, "memory_stats": {}, **names}
    found = {
        "read": format_time(time.time_ns()),
        "num_procs": 0,
        "pids_stats": _pids(directory),
        "cpu_stats": _processors(directory),
        "memory_stats": _memory(directory),
        "blkio_stats": _devices(directory),
        "storage_stats": {},
        **names,
    }
    networks = read_interfaces(stats.read_text(Path(f"/proc/{container.state.pid}/net/dev")))
    if networks and container.state.attachments:
        found["networks"] = networks
    return found


def combine(now: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A measurement with the one before it, from which clients reckon how busy the processors were."""
    before = before or {}
    return now | {"preread": before.get("read", NEVER), "precpu_stats": before.get("cpu_stats", _no_processors())}


def _no_processors() -> dict[str, Any]:
    return {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def _pids(directory: Path) -> dict[str, int]:
    found = {"current": stats.read_number(directory / "pids.current")}
    limit = stats.read_number(directory / "pids.max")
    return found | ({"limit": limit} if limit else {})


def _processors(directory: Path) -> dict[str, Any]:
    values = stats.read_numbers(directory / "cpu.stat")
    return {
        "cpu_usage": {
            "total_usage": values.get("usage_usec", 0) * 1000,
            "usage_in_kernelmode": values.get("system_usec", 0) * 1000,
            "usage_in_usermode": values.get("user_usec", 0) * 1000,
        },
        "system_cpu_usage": _system_ns(),
        "online_cpus": count_processors(),
        "throttling_data": {
            "periods": values.get("nr_periods", 0),
            "throttled_periods": values.get("nr_throttled", 0),
            "throttled_time": values.get("throttled_usec", 0) * 1000,
        },
    }


def _system_ns() -> int:
    """What all processors have spent, in nanoseconds (proc(5), /proc/stat: the first seven columns)."""
    line = stats.read_text(Path("/proc/stat")).partition("\n")[0].split()
    return sum(int(ticks) for ticks in line[1:8]) * 1_000_000_000 // CLOCK_TICKS


def _memory(directory: Path) -> dict[str, Any]:
    usage = stats.read_number(directory / "memory.current")
    if not usage:
        return {}
    limit = stats.read_number(directory / "memory.max") or _all_memory()
    return {"usage": usage, "limit": limit, "stats": stats.read_numbers(directory / "memory.stat")}


def _all_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _devices(directory: Path) -> dict[str, Any]:
    bytes_ = []
    for major, minor, values in stats.read_devices(directory / "io.stat"):
        for operation, key in (("read", "rbytes"), ("write", "wbytes")):
            bytes_.append({"major": major, "minor": minor, "op": operation, "value": values.get(key, 0)})
    return {
        "io_service_bytes_recursive": bytes_ or None,
        "io_serviced_recursive": None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


_COLUMNS = {
    "rx_bytes": 0, "rx_packets": 1, "rx_errors": 2, "rx_dropped": 3,
    "tx_bytes": 8, "tx_packets": 9, "tx_errors": 10, "tx_dropped": 11,
}  # fmt: skip


def read_interfaces(text: str) -> dict[str, dict[str, int]]:
    """The interfaces of /proc/PID/net/dev, loopback aside."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        values = rest.split()
        if name.strip() != "lo" and len(values) >= 12:
            found[name.strip()] = {key: int(values[column]) for key, column in _COLUMNS.items()}
    return found
