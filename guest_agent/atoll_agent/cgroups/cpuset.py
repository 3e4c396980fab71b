"""cpuset.cpus and cpuset.mems (kernel `cgroup-v2.rst`, "Cpuset Interface Files")."""

from __future__ import annotations

import re

from ..api.errors import invalid

CONTROLLER = "cpuset"
_LIST = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", re.ASCII)


def plan(cpus: str, mems: str, available: int) -> list[list[str]]:
    """Writes for lists like `0-2,4`.

    Raises:
        AgentError: not a list, or CPUs this machine does not have.
    """
    writes = []
    for name, value in (("cpus", cpus), ("mems", mems)):
        if not value:
            continue
        if not _LIST.fullmatch(value) or len(value) > 1024:
            raise invalid(f"Invalid value {value} for cpuset {name}")
        writes.append([f"cpuset.{name}", value])
    if cpus and max(int(n) for n in re.findall("[0-9]+", cpus)) >= available:
        raise invalid(f"Requested CPUs are not available - requested {cpus}, available: 0-{available - 1}")
    return writes
