"""pids.max (kernel `cgroup-v2.rst`, "PID Interface Files")."""

from __future__ import annotations

CONTROLLER = "pids"


def plan(limit: int | None) -> list[list[str]]:
    """The write for Docker's PidsLimit; None, 0 and -1 mean no limit."""
    return [["pids.max", str(limit)]] if limit and limit > 0 else []
