"""The supervisor: starts every container, owns its process and its streams, and outlives the agent.

One thread, one event loop. In a machine it is pid 1 and also reaps what nobody else waits for. It knows nothing of
images, names or HTTP; the agent tells it what to do by `runtime.messages` and may crash and come back meanwhile.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..linux import processes
from . import init, launch
from .log_file import LogFile
from .loop import READ, Loop
from .messages import Message
from .spec import ContainerSpec, LogSpec, ProcessSpec
from .streams import Streams

if TYPE_CHECKING:
    from .connections import Connection

CGROUP_RETRY_S, CGROUP_GIVE_UP_S = 0.02, 60.0


@dataclass
class Process:
    """A process of a container that runs, or is on its way."""

    key: str
    container: str
    pid: int
    streams: Streams
    cgroup: str
    namespaces: list[str]
    is_exec: bool
    answer: Callable[[Message], None]
    status: socket.socket
    launched: launch.Launched
    stop_signal: int
    process: ProcessSpec
    log: LogSpec | None
    terminal: int = -1
    resolver: list[int] = field(default_factory=list)
    named: bool = False
    alone: bool = True
    started: bool = False
    failure: Message | None = None
    status_open: bool = True
    exit_code: int | None = None
    started_ns: int = 0


class Supervisor:
    """The state of the supervisor: processes by pid and key, streams by key, ends nobody has acknowledged."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._by_pid: dict[int, Process] = {}
        self._by_key: dict[str, Process] = {}
        self._streams: dict[str, Streams] = {}
        self._ended: dict[str, Message] = {}
        self._unrecorded: dict[str, Process] = {}
        self._early: dict[int, int] = {}
        self._ending = False
        self._watchers: list[Connection] = []
        self._filters = launch.Filters()
        self.on_child: Callable[[int, int], None] = lambda pid, status: None
        self.on_shutdown: Callable[[float], None] = lambda timeout_s: None

    # -- requests ----------------------------------------------------------------------------

    def handle(self, connection: Connection, message: Message, descriptors: list[int]) -> None:
        """Carry out one request; its answer may come later."""
        operation = getattr(self, "_do_" + str(message.get("op", "")), None)
        if operation is None:
            connection.send({"error": f"unknown operation {message.get('op')!r}", "kind": "internal"})
            return
        try:
            answer = operation(connection, message, descriptors)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            answer = {"error": f"{place}{error.strerror}", "errno": error.errno, "kind": "system", "stage": "prepare"}
        except (KeyError, TypeError, ValueError) as error:
            answer = {"error": f"malformed request: {error!r}", "kind": "internal"}
        if answer is not None:
            connection.send(answer)

    def _do_start(self, connection: Connection, message: Message, descriptors: list[int]) -> Message | None:
        spec: ContainerSpec = message["spec"]
        key = spec["id"]
        if key in self._by_key:
            return {"error": "container is already running", "kind": "conflict"}
        if self._ending:
            return {"error": "the engine is shutting down", "kind": "conflict"}
        if spec["volatile"]:
            launch.clean_work(spec)
        for other in spec["joins"].values():
            if other not in self._by_key or not self._by_key[other].started:
                return {"error": f"container {other} is not running", "kind": "conflict"}
        joins = {name: processes.open_pidfd(self._by_key[other].pid) for name, other in spec["joins"].items()}
        try:
            launched = launch.start_container(spec, self._filters, joins)
        finally:
            for descriptor in joins.values():
                os.close(descriptor)
        self._ended.pop(key, None)
        namespaces = [*spec["namespaces"], *spec["joins"]]
        self._adopt(
            Process(
                key, key, launched.pid, self._streams_of(key), spec["cgroup"]["path"], namespaces, False,
                connection.send, launched.status, launched, spec["stop_signal"], spec["process"], spec["log"],
                named="pid" not in joins, alone="pid" in spec["namespaces"],
            )
        )  # fmt: skip
        return None

    def _do_exec(self, connection: Connection, message: Message, descriptors: list[int]) -> Message | None:
        container = self._by_key.get(message["container"])
        if container is None or not container.started:
            return {"error": "container is not running", "kind": "conflict"}
        key: str = message["key"]
        process: ProcessSpec = message["process"]
        launched = launch.start_exec(process, container.pid, container.namespaces, container.cgroup, self._filters)
        self._adopt(
            Process(
                key, container.key, launched.pid, self._streams_of(key), "", [], True,
                connection.send, launched.status, launched, 0, process, None,
            )
        )  # fmt: skip
        return None

    def _adopt(self, process: Process) -> None:
        self._by_pid[process.pid] = process
        self._by_key[process.key] = process
        process.started_ns = time.time_ns()
        self.loop.watch(process.status.fileno(), READ, lambda events: self._on_status(process))

    def _streams_of(self, key: str) -> Streams:
        if key not in self._streams:
            self._streams[key] = Streams(self.loop, lambda: self._drop_streams(key))
        return self._streams[key]

    def _drop_streams(self, key: str) -> None:
        """Nobody holds either end any more."""
        if key not in self._by_key and key not in self._unrecorded:
            self._streams.pop(key, None)

    def _do_attach(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        if not descriptors:
            return {"error": "no client", "kind": "internal"}
        client = socket.socket(fileno=descriptors.pop(0))
        self._streams_of(message["key"]).attach(
            client,
            stdin=message["stdin"],
            stdout=message["stdout"],
            stderr=message["stderr"],
            framed=message["framed"],
            keys=bytes(message.get("detach_keys", ())),
            head=message.get("head", "").encode("latin-1"),
        )
        return {"ok": True}

    def _do_kill(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        process = self._by_key.get(message["key"])
        if process is None:
            return {"error": "is not running", "kind": "conflict"}
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, message["signal"])
        return {"ok": True}

    def _do_resize(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        process = self._by_key.get(message["key"])
        if process is None:
            return {"error": "is not running", "kind": "conflict"}
        process.process["height"], process.process["width"] = message["height"], message["width"]
        self._apply_size(process)
        return {"ok": True}

    @staticmethod
    def _apply_size(process: Process) -> None:
        height, width = process.process["height"], process.process["width"]
        if process.terminal >= 0 and height and width:
            with contextlib.suppress(OSError):
                fcntl.ioctl(process.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def _do_resolver(self, connection: Connection, message: Message, descriptors: list[int]) -> Message | None:
        process = self._by_key.get(message["key"])
        if process is None:
            return {"error": "is not running", "kind": "conflict"}
        connection.send({"ok": True, "sockets": len(process.resolver)}, tuple(process.resolver))
        return None

    def _do_forget(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        streams = self._streams.get(message["key"])
        if streams and message["key"] not in self._by_key:
            streams.close()
            self._streams.pop(message["key"], None)  # its last client's end may have dropped it
        return {"ok": True}

    def _do_list(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        running = [
            {"key": p.key, "container": p.container, "pid": p.pid, "exec": p.is_exec, "started_ns": p.started_ns}
            for p in self._by_key.values()
            if p.started
        ]
        return {"running": running, "ended": list(self._ended.values())}

    def _do_watch(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        self._watchers.append(connection)
        return {"ok": True}

    def _do_ended(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        self._ended.pop(message["key"], None)
        self._finish_exec(message["key"])
        return {"ok": True}

    def _finish_exec(self, key: str) -> None:
        process = self._unrecorded.pop(key, None)
        if process is not None:
            process.streams.finish()

    def _do_shutdown(self, connection: Connection, message: Message, descriptors: list[int]) -> Message:
        self.loop.call_later(0, lambda: self.on_shutdown(float(message["timeout_s"])))
        return {"ok": True}

    def drop_watcher(self, connection: Connection) -> None:
        """A connection closed."""
        if connection in self._watchers:
            self._watchers.remove(connection)
        if not self._watchers:
            for key in list(self._unrecorded):
                self._finish_exec(key)

    # -- what processes report ---------------------------------------------------------------

    def _on_status(self, process: Process) -> None:
        """Read all that has been said."""
        while process.status_open and self._read_report(process):
            pass

    def _read_report(self, process: Process) -> bool:
        """Read one report; False when there is none yet, or none any more."""
        try:
            data, ancillary, _flags, _address = process.status.recvmsg(
                init.MAX_STATUS, socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except OSError:
            data, ancillary = b"", []
        for _level, kind, payload in ancillary:
            if kind == socket.SCM_RIGHTS:
                descriptors = array.array("i", payload[: len(payload) // 4 * 4])
                if data[:1] == init.RESOLVER:
                    process.resolver = list(descriptors)
                else:
                    process.terminal = descriptors[0]
        if data:
            self._take_report(process, data)
            return True
        process.status_open = False
        self.loop.forget(process.status.fileno())
        process.status.close()
        if process.failure is None:
            self._started(process)
        self._settle(process)
        return False

    def _take_report(self, process: Process, data: bytes) -> None:
        kind, data = data[:1], data[1:]
        if kind == init.PID:
            self._name(process, int.from_bytes(data[:4], "big"))
        elif kind == init.FAILED:
            try:
                process.failure = json.loads(data)
            except ValueError:  # cut off: a detail of 4 KB
                process.failure = {"stage": "start", "errno": 0, "detail": data[:200].decode("utf-8", "replace")}

    def _name(self, process: Process, pid: int) -> None:
        """A program that another process made has a pid, and may have ended already."""
        self._by_pid.pop(process.pid, None)
        process.pid, process.named = pid, True
        if pid in self._early:
            self._note_end(process, self._early.pop(pid))
        else:
            self._by_pid[pid] = process
            launch.give_interfaces(process.launched, pid)
        if not self._nameless():
            self._early.clear()

    def _started(self, process: Process) -> None:
        """The socket closed without a failure: the program runs (or has run already)."""
        process.started = True
        outputs, stdin = process.launched.outputs, process.launched.stdin
        if process.terminal >= 0:
            outputs, stdin = {process.terminal: 1}, process.terminal
            self._apply_size(process)
        log = process.log
        process.streams.connect(
            outputs,
            stdin,
            stdin_once=process.process["stdin_once"],
            log=LogFile(log["path"], log["max_size"], log["max_file"]) if log and log["path"] else None,
            terminal=process.process["terminal"],
        )
        process.answer({"ok": True, "pid": process.pid, "started_ns": process.started_ns})

    def child_ended(self, pid: int, status: int) -> None:
        """A child was reaped.

        The program of an exec is a child we hear of by a report of the process that made it, and both may have ended
        before that is read: reports come first, and an end nobody is known for is kept while reports are awaited.
        """
        for process in self._nameless():
            self._on_status(process)
        found = self._by_pid.pop(pid, None)
        if found is None:
            if self._nameless():
                self._early[pid] = status
            self.on_child(pid, status)
            return
        self._note_end(found, status)

    def _nameless(self) -> list[Process]:
        return [process for process in self._by_pid.values() if not process.named]

    def _note_end(self, process: Process, status: int) -> None:
        process.named = True
        process.exit_code = os.waitstatus_to_exitcode(status)
        if process.exit_code < 0:
            process.exit_code = 128 - process.exit_code
        self._settle(process)

    def _settle(self, process: Process) -> None:
        """Once a process is reaped and has said all it had to say, make its end known."""
        if process.exit_code is None or process.status_open:
            return
        self._by_key.pop(process.key, None)
        if process.failure is not None:
            self._fail(process)
        else:
            out_of_memory = self._oom_killed(process)
            end = {
                "event": "ended", "key": process.key, "container": process.container, "exec": process.is_exec,
                "exit_code": process.exit_code, "oom_killed": out_of_memory, "time_ns": time.time_ns(),
                "pid": process.pid,
            }  # fmt: skip
            self._ended[process.key] = end
            # Who reads an exec to its end asks for its exit code next: its streams end once the agent knows it.
            if process.is_exec and self._watchers:
                self._unrecorded[process.key] = process
            else:
                process.streams.finish()
            for watcher in list(self._watchers):
                watcher.send(end)
        for descriptor in process.resolver:
            os.close(descriptor)
        process.resolver.clear()
        if process.cgroup:
            if not process.alone:  # its children live in a pid namespace that goes on
                launch.kill_cgroup(process.cgroup)
            self._remove_cgroup(process.cgroup)

    def _fail(self, process: Process) -> None:
        for descriptor in {*process.launched.outputs, process.launched.stdin, process.terminal} - {-1}:
            os.close(descriptor)
        failure = process.failure or {}
        if not process.is_exec:  # an exec's client is still to be told why, by the agent
            self._streams.pop(process.key, process.streams).close()
        process.answer(
            {
                "error": str(failure.get("detail", "")),
                "stage": str(failure.get("stage", "")),
                "errno": int(failure.get("errno", 0)),
                "kind": "start",
            }
        )

    @staticmethod
    def _oom_killed(process: Process) -> bool:
        if not process.cgroup:
            return False
        try:
            text = (Path(process.cgroup) / "memory.events").read_text()
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in text.splitlines())

    def _remove_cgroup(self, path: str, delay_s: float = CGROUP_RETRY_S) -> None:
        """Remove a cgroup; the kernel may take a moment to let go of the last process, longer on a busy machine."""
        if path in self._cgroups_in_use():  # the container has been started again
            return
        if not launch.remove_cgroup(path) and delay_s < CGROUP_GIVE_UP_S:
            self.loop.call_later(delay_s, lambda: self._remove_cgroup(path, delay_s * 2))

    def _cgroups_in_use(self) -> set[str]:
        return {process.cgroup for process in self._by_key.values()}

    # -- the end -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a process runs, or has ended and the agent does not know it."""
        return bool(self._by_key or self._ended)

    def announce_end(self) -> None:
        """Tell the agent that what ends from now on shall not be started again; refuse to start anything."""
        self._ending = True
        for watcher in list(self._watchers):
            watcher.send({"event": "shutdown"})

    def end_containers(self, *, force: bool) -> None:
        """Ask every container's first process to end with the signal it wants, or kill it."""
        for process in self._by_key.values():
            if not process.is_exec:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL if force else process.stop_signal)
