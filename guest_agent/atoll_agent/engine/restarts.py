"""When a container is started again: dockerd's restart policies. Pure; `lifecycle` acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..api.errors import invalid

NO, ALWAYS, UNLESS_STOPPED, ON_FAILURE = "no", "always", "unless-stopped", "on-failure"
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 60.0
SETTLED_S = 10.0
"""A container that ran as long as this is tried again at once when it ends."""


@dataclass(frozen=True)
class Policy:
    """A restart policy.

    Attributes:
        name: `no`, `always`, `unless-stopped` or `on-failure`.
        maximum: how often `on-failure` tries; 0 for ever.
    """

    name: str = NO
    maximum: int = 0

    def wants_restart(self, exit_code: int, *, stopped: bool, count: int) -> bool:
        """Whether a container that ended is started again.

        Arguments:
            stopped: whether a user asked for the end.
            count: restarts so far.
        """
        if stopped:
            return False
        if self.name == ON_FAILURE:
            return exit_code != 0 and (not self.maximum or count < self.maximum)
        return self.name in (ALWAYS, UNLESS_STOPPED)

    def wants_start(self, exit_code: int, *, stopped: bool) -> bool:
        """Whether a container that does not run is started when the engine starts."""
        if self.name == ALWAYS:
            return True
        if self.name == ON_FAILURE:
            return exit_code != 0 and not stopped
        return self.name == UNLESS_STOPPED and not stopped


def parse_policy(value: dict[str, Any] | None, *, auto_remove: bool = False) -> Policy:
    """Read Docker's RestartPolicy.

    Raises:
        AgentError: in Docker's words.
    """
    raw = value or {}
    name, maximum = raw.get("Name") or NO, raw.get("MaximumRetryCount") or 0
    if not isinstance(name, str) or name not in (NO, ALWAYS, UNLESS_STOPPED, ON_FAILURE):
        raise invalid(
            f"invalid restart policy: unknown policy '{str(name)[:40]}'; use one of 'no', 'always', 'on-failure', "
            "or 'unless-stopped'"
        )
    if not isinstance(maximum, int) or isinstance(maximum, bool):
        raise invalid("invalid restart policy: maximum retry count is a number")
    if maximum < 0:
        raise invalid("invalid restart policy: maximum retry count cannot be negative")
    if maximum and name != ON_FAILURE:
        raise invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if auto_remove and name != NO:
        raise invalid("can't create 'AutoRemove' container with restart policy")
    return Policy(name, maximum)


def next_delay(before_s: float, ran_s: float) -> float:
    """How long to wait before the next try: longer each time, unless the container ran for a while.

    Arguments:
        before_s: the last delay; 0 for none.
        ran_s: how long the container ran.
    """
    if not before_s or ran_s >= SETTLED_S:
        return FIRST_DELAY_S
    return min(before_s * 2, LONGEST_DELAY_S)
