"""Running health checks: a command in the container, again and again, for as long as it runs."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from typing import Any

from ..api.errors import AgentError
from ..runtime.log_file import format_time
from .containers import Containers, attributes_of
from .events import Events
from .execs import Execs
from .healthcheck import NS, STARTING, Check, judge, plan_check
from .records import Container, Health
from .supervision import Supervision

log = logging.getLogger(__name__)
MAX_OUTPUT = 4096


class HealthChecks:
    """Runs the checks of containers that run: a thread for each container that has one."""

    def __init__(self, containers: Containers, execs: Execs, supervision: Supervision, events: Events) -> None:
        self._containers, self._execs = containers, execs
        self._supervision, self._events = supervision, events

    def watch(self, container: Container) -> None:
        """A container runs (again, or still): check it until this run ends."""
        check = plan_check(container.config)
        if check is None:
            container.state.health = None
            return
        if container.state.health is None:
            container.state.health = Health(STARTING)
        run = container.state.started_ns
        threading.Thread(
            target=self._watch, args=(container, check, run), name=f"health {container.name}", daemon=True
        ).start()

    def _watch(self, container: Container, check: Check, run: int) -> None:
        def over() -> bool:
            return not container.running or container.state.started_ns != run

        while True:
            since_start_s = (time.time_ns() - run) / NS
            health = container.state.health
            young = health is not None and health.status == STARTING and since_start_s < check.start_period_s
            with container.changed:
                if container.changed.wait_for(over, check.start_interval_s if young else check.interval_s):
                    return
            if container.state.paused:
                continue
            try:
                result = self._probe(container, check)
            except (AgentError, OSError) as error:
                if over():
                    return
                log.info("health check of %s: %s", container.name, error)
                now = format_time(time.time_ns())
                result = {"Start": now, "End": now, "ExitCode": -1, "Output": str(error)}
            self._take(container, check, run, result)

    def _take(self, container: Container, check: Check, run: int, result: dict[str, Any]) -> None:
        with container.lock:
            health = container.state.health
            if health is None or not container.running or container.state.started_ns != run:
                return
            changed = judge(health, check, result, (time.time_ns() - run) / NS)
            if changed:
                self._containers.store.save_state(container)
        if changed:
            action = f"health_status: {health.status}"
            self._events.publish("container", action, container.id, attributes_of(container))

    def _probe(self, container: Container, check: Check) -> dict[str, Any]:
        """Run the command once."""
        begun = time.time_ns()
        body = {"Cmd": list(check.command), "AttachStdout": True, "AttachStderr": True}
        made = self._execs.create(container, body)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._supervision.attach(
                    made.id, theirs, stdin=False, stdout=True, stderr=True, framed=False, detach_keys=[], head=""
                )
            self._execs.start(made)
            output, ended = _read(ours, check.timeout_s)
        exit_code = made.exit_code
        if not ended:
            self._supervision.kill(made.id, signal.SIGKILL)
            exit_code, output = -1, f"Health check exceeded timeout ({check.timeout_s:g}s): {output}"
        return {
            "Start": format_time(begun),
            "End": format_time(time.time_ns()),
            "ExitCode": -1 if exit_code is None else exit_code,
            "Output": output,
        }


def _read(sock: socket.socket, timeout_s: float) -> tuple[str, bool]:
    """What comes until the end, shortened, and whether the end came in time."""
    kept, deadline = b"", time.monotonic() + timeout_s
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return kept.decode("utf-8", "replace"), False
        sock.settimeout(left)
        try:
            data = sock.recv(65536)
        except TimeoutError:
            continue
        if not data:
            return kept.decode("utf-8", "replace"), True
        kept = (kept + data)[:MAX_OUTPUT]
