"""memory.max, memory.low and memory.swap.max (kernel `cgroup-v2.rst`, "Memory Interface Files")."""

from __future__ import annotations

from ..api.errors import invalid

CONTROLLER = "memory"
MINIMUM_BYTES = 6 << 20
"""Docker refuses less: the program's start alone would be killed."""


def plan(memory: int, swap: int, reservation: int) -> list[list[str]]:
    """Writes for Docker's Memory, MemorySwap (their sum; -1 unlimited, 0 default) and MemoryReservation, in bytes.

    Raises:
        AgentError: in Docker's words.
    """
    if 0 < memory < MINIMUM_BYTES:
        raise invalid("Minimum memory limit allowed is 6MB")
    if memory < 0 or reservation < 0 or swap < -1:
        raise invalid("invalid memory limit: negative value")
    if swap > 0 and not memory:
        raise invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if swap > 0 and swap < memory:
        raise invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if reservation and memory and reservation > memory:
        raise invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
    writes = []
    if memory:
        writes.append(["memory.max", str(memory)])
        # v2 counts swap by itself, Docker memory and swap together; by default there is as much swap as memory.
        extra = "max" if swap == -1 else str(swap - memory if swap else memory)
        writes.append(["memory.swap.max", extra])
    if reservation:
        writes.append(["memory.low", str(reservation)])
    return writes
