"""The agent's side of talking to the supervisor: one connection per request, one that stays for the news of ends."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from ..api.errors import AgentError, Kind
from ..runtime import messages
from ..runtime.messages import Message
from ..runtime.spec import ContainerSpec, ProcessSpec

log = logging.getLogger(__name__)


class StartFailed(Exception):
    """The supervisor could not start a program.

    Attributes:
        stage: what was being done.
        errno: the kernel's number; 0 where it was not the kernel.
        detail: what it said.
    """

    def __init__(self, stage: str, errno: int, detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage, self.errno, self.detail = stage, errno, detail


class Supervision:
    """Requests to the supervisor. Thread-safe."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(self._path)
        return sock

    def _ask(self, message: Message, descriptors: tuple[int, ...] = ()) -> Message:
        with self._connect() as sock:
            messages.send(sock, message, descriptors)
            answer = messages.receive(sock)
        if answer is None:
            raise AgentError(Kind.UNAVAILABLE, "the supervisor is gone; restart the machine")
        if "error" not in answer:
            return answer
        if answer["kind"] in ("start", "system"):
            raise StartFailed(answer.get("stage", ""), int(answer.get("errno") or 0), answer["error"])
        raise AgentError(Kind.CONFLICT if answer["kind"] == "conflict" else Kind.SYSTEM, answer["error"])

    def start(self, spec: ContainerSpec) -> Message:
        """Start a container; returns its pid and start time.

        Raises:
            StartFailed: with the step that failed.
        """
        return self._ask({"op": "start", "spec": spec})

    def execute(self, key: str, container: str, process: ProcessSpec) -> Message:
        """Start another process in a running container."""
        return self._ask({"op": "exec", "key": key, "container": container, "process": process})

    def attach(self, key: str, client: socket.socket, **options: Any) -> None:
        """Hand a client's connection over; the caller closes its own copy."""
        self._ask({"op": "attach", "key": key, **options}, (client.fileno(),))

    def kill(self, key: str, number: int) -> None:
        """Signal a container's or an exec's process."""
        self._ask({"op": "kill", "key": key, "signal": number})

    def resize(self, key: str, height: int, width: int) -> None:
        """Set the size of a terminal, in characters."""
        self._ask({"op": "resize", "key": key, "height": height, "width": width})

    def forget(self, key: str) -> None:
        """Drop waiting clients of something that will not start."""
        self._ask({"op": "forget", "key": key})

    def resolver(self, key: str) -> list[int]:
        """The sockets of a container's resolver; they are the caller's to close. None where it has no such."""
        with self._connect() as sock:
            messages.send(sock, {"op": "resolver", "key": key})
            _, descriptors = messages.receive_with_descriptors(sock)
        return descriptors

    def snapshot(self) -> Message:
        """What runs, and what ended unacknowledged."""
        return self._ask({"op": "list"})

    def acknowledge(self, key: str) -> None:
        """An end has been recorded."""
        self._ask({"op": "ended", "key": key})

    def shutdown(self, timeout_s: float) -> None:
        """Stop all containers, then the supervisor (and in a machine, the machine)."""
        self._ask({"op": "shutdown", "timeout_s": timeout_s})

    def watch(
        self, on_end: Callable[[Message], None], on_shutdown: Callable[[], None], on_lost: Callable[[], None]
    ) -> threading.Thread:
        """Follow the supervisor's news in a thread.

        Arguments:
            on_end: a process has ended.
            on_shutdown: everything is about to be ended.
            on_lost: the supervisor is gone.
        """
        sock = self._connect()
        messages.send(sock, {"op": "watch"})
        messages.receive(sock)

        def run() -> None:
            reader = messages.Reader()
            while True:
                while (message := reader.take()) is not None:
                    try:
                        if message["event"] == "shutdown":
                            on_shutdown()
                        else:
                            on_end(message)
                    except Exception:
                        log.exception("recording the end of %s", message.get("key"))
                if not reader.read(sock):
                    on_lost()
                    return

        thread = threading.Thread(target=run, name="ends", daemon=True)
        thread.start()
        return thread
