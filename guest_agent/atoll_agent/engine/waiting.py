"""Waiting for a container to reach a condition."""

from __future__ import annotations

from ..api.errors import invalid
from .records import RESTARTING, Container


class Waiter:
    """Waits for a container to reach a condition. Made before the start, it cannot miss a short run.

    Raises:
        AgentError: an unknown condition.
    """

    CONDITIONS = ("not-running", "next-exit", "removed")

    def __init__(self, container: Container, condition: str) -> None:
        if condition not in self.CONDITIONS:
            raise invalid(f'invalid condition: "{condition[:40]}"')
        self._container, self._condition = container, condition
        with container.changed:
            self._ended = container.runs_ended
            self._over = not container.running and container.state.status != RESTARTING

    def wait(self, timeout_s: float | None) -> int | None:
        """The exit code; None when the timeout came first."""
        container = self._container
        with container.changed:
            if not container.changed.wait_for(self._reached, timeout_s):
                return None
        return container.last_exit_code if container.runs_ended != self._ended else container.state.exit_code

    def _reached(self) -> bool:
        container = self._container
        if self._condition == "removed":
            return container.removed
        ended = container.runs_ended != self._ended or container.removed
        # One that is started again at once has stopped running all the same.
        return ended or (self._over and self._condition == "not-running")
