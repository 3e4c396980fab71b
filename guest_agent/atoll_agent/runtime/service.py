"""Running supervisor and agent together: the supervisor starts the agent, restarts it if it dies, and ends it last."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

from ..linux.processes import close_all_but
from .connections import listen, watch_children
from .loop import Loop
from .supervisor import Supervisor

RESTART_DELAY_S = 0.5
QUICK_DEATH_S = 5.0
AGENT_END_S = 3.0
TICK_S = 0.02


class Service:
    """The supervisor's main program.

    Arguments:
        supervisor_socket: where the agent finds the supervisor.
        run_agent: becomes the agent in a forked child; its result is the exit status.
        at_end: called when all containers and the agent have ended.
        keep: descriptors that the agent inherits.
    """

    def __init__(
        self,
        supervisor_socket: str,
        run_agent: Callable[[], int],
        at_end: Callable[[], None],
        keep: tuple[int, ...] = (),
    ) -> None:
        self._keep = keep
        self._run_agent, self._at_end = run_agent, at_end
        self.loop = Loop()
        self.supervisor = Supervisor(self.loop)
        self._socket = supervisor_socket
        self._agent_pid = 0
        self._agent_started = 0.0
        self._ending = False

    def run(self) -> None:
        """Run until shut down by the agent's word or by SIGTERM."""
        server = listen(self._socket, self.supervisor)
        watch_children(self.supervisor)
        self.supervisor.on_child = self._on_child
        self.supervisor.on_shutdown = self._shut_down
        signal.signal(signal.SIGTERM, lambda number, frame: self.loop.call_later(0, lambda: self._shut_down(10.0)))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._start_agent()
        self.loop.run()
        server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._socket)
        self._at_end()

    def _start_agent(self) -> None:
        if self._ending:
            return
        self._agent_started = time.monotonic()
        pid = os.fork()
        if pid:
            self._agent_pid = pid
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self.loop.close()
            # There is no exec that would close the pipes of running containers; the objects that hold them here stay
            # alive as long as this process, so none of them closes a number that is somebody else's by then.
            close_all_but({0, 1, 2, *self._keep})
            status = self._run_agent()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _on_child(self, pid: int, status: int) -> None:
        if pid != self._agent_pid:
            return
        self._agent_pid = 0
        if self._ending:
            self.loop.running = False
            return
        print(f"atoll-supervisor: the agent ended with status {status}; starting it again", file=sys.stderr, flush=True)
        quick = time.monotonic() - self._agent_started < QUICK_DEATH_S
        self.loop.call_later(RESTART_DELAY_S if quick else 0, self._start_agent)

    def _shut_down(self, timeout_s: float) -> None:
        if self._ending:
            return
        self._ending = True
        self.supervisor.announce_end()
        self.supervisor.end_containers(force=False)
        self._await_containers(time.monotonic() + timeout_s, killed=False)

    def _await_containers(self, deadline: float, *, killed: bool) -> None:
        """Wait for the containers, then for the agent to have recorded their ends, then end the agent."""
        if self.supervisor.busy and (not killed or time.monotonic() < deadline):
            if not killed and time.monotonic() >= deadline:
                self.supervisor.end_containers(force=True)
                killed, deadline = True, time.monotonic() + AGENT_END_S
            self.loop.call_later(TICK_S, lambda: self._await_containers(deadline, killed=killed))
            return
        if not self._agent_pid:
            self.loop.running = False
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._agent_pid, signal.SIGTERM)
        self.loop.call_later(AGENT_END_S, self._insist)

    def _insist(self) -> None:
        if self._agent_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._agent_pid, signal.SIGKILL)
