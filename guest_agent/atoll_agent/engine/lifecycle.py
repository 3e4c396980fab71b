"""A container's running life: start, stop, kill, wait, and what happens when it ends."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..api.errors import AgentError, Kind, conflict
from ..cgroups import freezer
from ..cgroups.limits import plan_limits
from ..network.firewall import Port
from ..network.networks import Attachment
from ..runtime.messages import Message
from .confinement import FilterCache
from .containers import Containers, attributes_of
from .events import Events
from .failures import ENGINE_FAILED, explain_failure
from .links import plan_variables
from .networking import Networking
from .plan import plan_container
from .records import CREATED, EXITED, RESTARTING, RUNNING, Container
from .restarts import next_delay, parse_policy
from .signals import DEFAULT_STOP_SIGNAL, parse_signal
from .supervision import StartFailed, Supervision

log = logging.getLogger(__name__)
DEFAULT_STOP_TIMEOUT_S = 10
KILL_GRACE_S = 10


class Lifecycle:
    """Starts and stops containers through the supervisor and keeps their states true.

    Arguments:
        boot: what tells this life of the supervisor from another; states of an earlier one are not running any more.
        run_directory: for files that need not outlive a boot.
        init_program: path of a small init for `--init`; "" where there is none.
    """

    def __init__(
        self,
        containers: Containers,
        supervision: Supervision,
        networking: Networking,
        filters: FilterCache,
        events: Events,
        *,
        boot: str,
        run_directory: Path,
        init_program: str,
    ) -> None:
        self._containers, self._supervision, self._networking = containers, supervision, networking
        self._filters, self._events = filters, events
        self._boot, self._init_program = boot, init_program
        self._mount_point = run_directory / "root"
        self._mount_point.mkdir(parents=True, exist_ok=True)
        self._closing = False
        self.exec_ended: Callable[[Message], None] = lambda message: None
        self.on_running: Callable[[Container], None] = lambda container: None

    # -- after a restart of the agent --------------------------------------------------------

    def recover(self) -> None:
        """Bring the states up to date with what the supervisor knows; called once, before the API answers."""
        self._networking.networks.recover()
        known = self._supervision.snapshot()
        running = {item["key"]: item for item in known["running"] if not item["exec"]}
        ended = {item["key"]: item for item in known["ended"]}
        for container in self._containers.all():
            if container.id in running:
                self._recover_running(container, running[container.id])
            elif container.running and container.id not in ended:
                self._recover_lost(container)
            elif container.auto_remove and container.state.status == EXITED:
                self._remove_quietly(container)
        self._containers.volumes.recover(self._containers.all())
        self._networking.networks.refresh()
        for message in known["ended"]:
            self.on_end(message)

    def _recover_running(self, container: Container, item: dict[str, Any]) -> None:
        state = container.state
        state.status, state.pid, state.boot = RUNNING, item["pid"], self._boot
        state.started_ns = item["started_ns"]
        self._networking.recovered(container)
        self.on_running(container)

    def _recover_lost(self, container: Container) -> None:
        """It ran when the machine stopped without warning: Docker calls that exit code 255."""
        state = container.state
        state.status, state.pid, state.exit_code, state.finished_ns = EXITED, 0, 255, time.time_ns()
        state.attachments, state.ports, state.paused = [], [], False
        if container.auto_remove:
            self._remove_quietly(container)
        else:
            self._record(container)

    def resume(self) -> None:
        """Start what should run: containers that were about to be restarted, and at a new boot what policies say."""
        for container in reversed(self._containers.all()):
            state = container.state
            if state.status == RESTARTING:
                self._restart_later(container, 0)
            elif state.status == EXITED and state.boot != self._boot:
                policy = parse_policy(container.host_config.get("RestartPolicy"))
                if policy.wants_start(state.exit_code, stopped=state.manually_stopped):
                    self._start_again(container, EXITED)

    def close(self) -> None:
        """The engine is being shut down: what ends from now on is not started again."""
        self._closing = True

    def _record(self, container: Container) -> bool:
        """Write the state; False when that is impossible (the disk is full), which must not stop anybody's waiting."""
        try:
            self._containers.store.save_state(container, durable=True)
        except OSError as error:
            log.error("the state of %s is not on disk: %s", container.id[:12], error)
            return False
        return True

    # -- starting ----------------------------------------------------------------------------

    def start(self, container: Container) -> None:
        """Start a container; returns when its program runs.

        Raises:
            AgentError: NOT_MODIFIED when it runs already; otherwise what failed, in Docker's words.
        """
        with container.lock:
            if container.removed:
                raise conflict(f"container {container.id} is marked for removal and cannot be started")
            if container.running or container.state.status == RESTARTING:
                raise AgentError(Kind.NOT_MODIFIED, "container is already running")
            container.state.restart_count, container.restart_delay_s = 0, 0.0
            self._start_now(container)

    def _start_now(self, container: Container) -> None:
        with container.lock:
            attachments: list[Attachment] = []
            ports: list[Port] = []
            self._containers.volumes.mount(container)
            try:
                attachments = self._networking.attach(container)
                ports = self._networking.publish(container, attachments)
                self._start(container, attachments, ports)
            except BaseException as error:
                self._networking.withdraw(ports)
                self._networking.release(attachments)
                self._containers.volumes.tell_unmounted(container, self._containers.volumes.unmount(container))
                raise self._failed_to_start(container, error) from error

    def _start(self, container: Container, attachments: list[Attachment], ports: list[Port]) -> None:
        store = self._containers.store
        directory = store.directory(container.id)
        spec = plan_container(
            container,
            directory=directory,
            overlay=store.overlay(container.id),
            mount_point=self._mount_point,
            hierarchy=self._containers.hierarchy,
            writes=plan_limits(container.host_config, self._containers.hierarchy),
            interfaces=[self._networking.networks.plan_interface(a) for a in attachments if a.interface],
            resolver=self._networking.resolves(attachments),
            filters=self._filters,
            etc_files=self._networking.write_files(container, attachments),
            asked=self._containers.plan_mounts(container),
            init=self._init_program if container.host_config.get("Init") else "",
            variables=plan_variables(self._networking.linked(container), container.name),
        )
        if container.host_config.get("CgroupParent"):
            self._containers.hierarchy.make_parents(str(container.host_config["CgroupParent"]))
        state = container.state
        state.error, state.oom_killed, state.manually_stopped = "", False, False
        state.paused, state.health = False, None
        state.attachments, state.ports = attachments, ports
        answer = self._supervision.start(spec)
        # The end may be known already; `on_end` waits for this lock.
        state.status, state.pid, state.boot = RUNNING, answer["pid"], self._boot
        state.started_ns, state.finished_ns, state.exit_code = answer["started_ns"], 0, 0
        # On disk before anybody hears of it: after a power cut it must show as ended with 255, not as never started.
        try:
            store.save_state(container, durable=not container.auto_remove)
        except OSError:
            with contextlib.suppress(AgentError):  # it has ended already
                self._supervision.kill(container.id, signal.SIGKILL)
            state.attachments, state.ports = [], []  # the caller gives them back
            raise
        self._networking.started(container)
        self.on_running(container)
        with container.changed:
            container.changed.notify_all()
        self._events.publish("container", "start", container.id, attributes_of(container))

    def _failed_to_start(self, container: Container, error: BaseException) -> BaseException:
        """Note why; returns what to raise."""
        if isinstance(error, StartFailed):
            told, exit_code = explain_failure(error, container.config)
        elif isinstance(error, AgentError):
            told, exit_code = error, ENGINE_FAILED
        else:
            return error
        state = container.state
        state.error, state.exit_code, state.pid = told.message, exit_code, 0
        state.attachments, state.ports = [], []
        state.status = CREATED if state.status == CREATED else EXITED
        self._supervision.forget(container.id)
        self._record(container)
        self._tell_end(container, exit_code)
        if container.auto_remove:
            threading.Thread(target=self._remove_quietly, args=(container,), daemon=True).start()
        return told

    # -- ending ------------------------------------------------------------------------------

    def on_end(self, message: Message) -> None:
        """The supervisor tells that a process ended."""
        if message["exec"]:
            self.exec_ended(message)
            self._supervision.acknowledge(message["key"])
            return
        container = self._containers.find(message["key"])
        if container is None:
            self._supervision.acknowledge(message["key"])
            return
        with container.lock:
            state = container.state
            state.pid, state.exit_code, state.paused = 0, message["exit_code"], False
            state.oom_killed, state.finished_ns = message["oom_killed"], message["time_ns"]
            again = self._plan_restart(container)
            # At once: who looks without the lock must not take one that is about to be restarted for ended.
            state.status = RESTARTING if again else EXITED
            self._networking.ended(container)
            unmounted = self._containers.volumes.unmount(container)
            recorded = container.auto_remove or self._record(container)
        if recorded:  # otherwise the supervisor keeps it for the next agent
            self._supervision.acknowledge(message["key"])
        self._tell_end(container, message["exit_code"])
        if state.oom_killed:
            self._events.publish("container", "oom", container.id, attributes_of(container))
        attributes = attributes_of(container) | {"exitCode": str(state.exit_code)}
        self._events.publish("container", "die", container.id, attributes)
        self._containers.volumes.tell_unmounted(container, unmounted)
        if again:
            self._restart_later(container, container.restart_delay_s)
        elif container.auto_remove and not container.restarts_by_hand:
            self._remove_quietly(container)

    @staticmethod
    def _tell_end(container: Container, exit_code: int) -> None:
        with container.changed:
            container.runs_ended += 1
            container.last_exit_code = exit_code
            container.changed.notify_all()

    def _plan_restart(self, container: Container) -> bool:
        """Decide whether a container that has just ended is started again."""
        state = container.state
        policy = parse_policy(container.host_config.get("RestartPolicy"))
        if self._closing or container.removed:
            return False
        if not policy.wants_restart(state.exit_code, stopped=state.manually_stopped, count=state.restart_count):
            return False
        ran_s = (state.finished_ns - state.started_ns) / 1e9
        container.restart_delay_s = next_delay(container.restart_delay_s, ran_s)
        state.restart_count += 1
        return True

    def _restart_later(self, container: Container, delay_s: float) -> None:
        timer = threading.Timer(delay_s, self._start_again, (container, RESTARTING))
        timer.daemon = True
        timer.start()

    def _start_again(self, container: Container, expected: str) -> None:
        """Start a container unless its status has changed meanwhile: it was stopped, started or removed."""
        with container.lock:
            if container.state.status != expected or container.removed or self._closing:
                return
            try:
                self._start_now(container)
            except (AgentError, OSError) as error:
                log.warning("restarting %s: %s", container.name, error)

    def _end_restarting(self, container: Container) -> bool:
        """Give up restarting a container; False when it was not about to be."""
        with container.lock:
            if container.state.status != RESTARTING:
                return False
            container.state.status, container.state.manually_stopped = EXITED, True
            self._record(container)
        with container.changed:
            container.changed.notify_all()
        return True

    def _remove_quietly(self, container: Container) -> None:
        try:
            self._containers.remove(container, volumes=True)
        except AgentError as error:
            log.info("auto-remove of %s: %s", container.id[:12], error.message)

    # -- stopping ----------------------------------------------------------------------------

    def kill(self, container: Container, number: int) -> None:
        """Send a signal; after SIGKILL its end is waited for, as dockerd does.

        Raises:
            AgentError: it does not run.
        """
        ended = container.runs_ended
        if number in (signal.SIGKILL, parse_signal(container.config.get("StopSignal") or DEFAULT_STOP_SIGNAL)):
            container.state.manually_stopped = True  # whoever sends this does not want it back
        self._signal(container, number)
        if container.state.paused:
            self.unpause(container)
        attributes = attributes_of(container) | {"signal": str(number)}
        self._events.publish("container", "kill", container.id, attributes)
        if number == signal.SIGKILL and not self._wait_for_end(container, ended, KILL_GRACE_S):
            raise AgentError(Kind.SYSTEM, f"container {container.id} did not end after SIGKILL")

    def _signal(self, container: Container, number: int) -> None:
        if not container.running:
            raise conflict(f"container {container.id} is not running")
        try:
            self._supervision.kill(container.id, number)
        except AgentError as error:
            raise conflict(f"container {container.id} is not running") from error

    def stop(self, container: Container, timeout_s: int | None, signal_text: str = "") -> None:
        """Ask to end, then insist.

        Arguments:
            timeout_s: how long to wait before SIGKILL; -1 for ever; None for the container's own setting.

        Raises:
            AgentError: NOT_MODIFIED when it does not run.
        """
        if self._end_restarting(container):
            self._events.publish("container", "stop", container.id, attributes_of(container))
            return
        if not container.running:
            raise AgentError(Kind.NOT_MODIFIED, "container is not running")
        if timeout_s is None:
            configured = container.config.get("StopTimeout")
            timeout_s = DEFAULT_STOP_TIMEOUT_S if configured is None else int(configured)
        ended = container.runs_ended
        container.state.manually_stopped = True
        try:
            self.kill(container, parse_signal(signal_text or container.config.get("StopSignal") or DEFAULT_STOP_SIGNAL))
            if not self._wait_for_end(container, ended, None if timeout_s < 0 else timeout_s):
                self.kill(container, signal.SIGKILL)
        except AgentError as error:
            if error.kind is not Kind.CONFLICT:
                raise
        self._events.publish("container", "stop", container.id, attributes_of(container))

    def restart(self, container: Container, timeout_s: int | None, signal_text: str = "") -> None:
        """Stop a container if it runs, then start it."""
        container.restarts_by_hand = True  # one with --rm stays, too
        try:
            try:
                self.stop(container, timeout_s, signal_text)
            except AgentError as error:
                if error.kind is not Kind.NOT_MODIFIED:
                    raise
            self.start(container)
        finally:
            container.restarts_by_hand = False
        self._events.publish("container", "restart", container.id, attributes_of(container))

    @staticmethod
    def _wait_for_end(container: Container, ended: int, timeout_s: float | None) -> bool:
        with container.changed:
            return container.changed.wait_for(
                lambda: container.runs_ended != ended or not container.running or container.removed, timeout_s
            )

    def pause(self, container: Container) -> None:
        """Stop all its processes where they are.

        Raises:
            AgentError: it does not run, or is paused already.
        """
        with container.lock:
            if not container.running:
                raise conflict(f"container {container.id} is not running")
            if container.state.paused:
                raise conflict(f"container {container.id} is already paused")
            self._freeze(container, True)
        self._events.publish("container", "pause", container.id, attributes_of(container))

    def unpause(self, container: Container) -> None:
        """Let them go on.

        Raises:
            AgentError: it is not paused.
        """
        with container.lock:
            if not container.state.paused:
                raise conflict(f"container {container.id} is not paused")
            self._freeze(container, False)
        self._events.publish("container", "unpause", container.id, attributes_of(container))

    def _freeze(self, container: Container, frozen: bool) -> None:
        directory = self._containers.cgroup_of(container)
        if directory is None:
            raise AgentError(Kind.NOT_IMPLEMENTED, "pausing needs cgroup v2, which this host does not have")
        try:
            freezer.set_frozen(directory, frozen)
        except OSError as error:
            word = "pause" if frozen else "unpause"
            raise AgentError(Kind.SYSTEM, f"cannot {word} container {container.id}: {error.strerror}") from error
        container.state.paused = frozen
        self._containers.store.save_state(container)

    def remove(self, container: Container, *, force: bool, volumes: bool) -> None:
        """Remove a container; with `force` one that runs is killed first."""
        if force:
            self._end_restarting(container)
        if force and container.running:
            ended = container.runs_ended
            container.state.manually_stopped = True
            try:
                self._signal(container, signal.SIGKILL)
            except AgentError as error:
                if error.kind is not Kind.CONFLICT:
                    raise
            self._wait_for_end(container, ended, KILL_GRACE_S)
        try:
            self._containers.remove(container, volumes=volumes)
        except AgentError as error:
            if not (force and container.auto_remove and error.kind is Kind.NOT_FOUND):
                raise
