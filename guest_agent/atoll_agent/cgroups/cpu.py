"""cpu.max and cpu.weight (kernel `cgroup-v2.rst`, "CPU Interface Files")."""

from __future__ import annotations

from ..api.errors import invalid

CONTROLLER = "cpu"
PERIOD_US = 100_000


def plan(nano_cpus: int, shares: int, period_us: int, quota_us: int, available: int) -> list[list[str]]:
    """Writes for Docker's NanoCpus (10^-9 CPUs), CpuShares (2..262144), CpuPeriod and CpuQuota (microseconds).

    Arguments:
        available: CPUs of this machine.

    Raises:
        AgentError: in Docker's words.
    """
    if nano_cpus and (period_us or quota_us):
        raise invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    if nano_cpus < 0 or nano_cpus > available * 1_000_000_000:
        raise invalid(f"Range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available")
    if period_us and not 1000 <= period_us <= 1_000_000:
        raise invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < quota_us < 1000:
        raise invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    writes = []
    if nano_cpus:
        writes.append(["cpu.max", f"{max(1000, nano_cpus * PERIOD_US // 1_000_000_000)} {PERIOD_US}"])
    elif quota_us > 0 or period_us:
        writes.append(["cpu.max", f"{quota_us if quota_us > 0 else 'max'} {period_us or PERIOD_US}"])
    if shares:
        bounded = min(max(shares, 2), 262144)
        # The mapping of the OCI runtimes: 2..262144 of v1 onto 1..10000 of v2.
        writes.append(["cpu.weight", str(1 + (bounded - 2) * 9999 // 262142)])
    return writes
