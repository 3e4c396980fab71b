"""Whoever listens where published ports are reached from: the host of a machine, or this host itself."""

from __future__ import annotations

import json
import logging
import socket
import threading
from typing import Any, Protocol

from ..api.errors import AgentError, Kind

log = logging.getLogger(__name__)
ANSWER_S = 10.0
MAX_LINE = 4096


class PortTaken(Exception):
    """Somebody else listens there."""


class Publisher(Protocol):
    """Opens ports to the outside."""

    def open(self, protocol: str, address: str, port: int, target: str, target_port: int) -> int:
        """Listen; returns the port.

        Arguments:
            address: to listen on; "" for the usual one.
            port: 0 for any free one.
            target: where connections go.

        Raises:
            PortTaken: it is taken.
            AgentError: nobody is there to ask.
        """

    def keep(self, protocol: str, address: str, port: int, target: str, target_port: int) -> None:
        """Listen, again, where an agent before this one did.

        Raises:
            PortTaken: somebody else has come there meanwhile.
        """

    def close(self, protocol: str, address: str, port: int) -> None:
        """Listen no more."""


def format_target(target: str, port: int) -> str:
    """An address with a port, as the host asks for it."""
    return f"[{target}]:{port}" if ":" in target else f"{target}:{port}"


class HostPorts:
    """Ports of a machine's host, asked of its keeper on a stream that the keeper keeps open. Thread-safe.

    Both sides send JSON lines: `{"id", "op": "open" | "close", "protocol", "address", "port", "target"}` this way,
    `{"id", "port"}` or `{"id", "error"}` back. A keeper that comes back is told all open ports again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._sock: socket.socket | None = None
        self._answers: dict[int, dict[str, Any]] = {}
        self._open: dict[tuple[str, str, int], str] = {}
        self._number = 0

    def serve(self, sock: socket.socket) -> None:
        """Talk to a keeper until its stream ends; the one before is forgotten."""
        with self._lock:
            self._sock = sock
            for (protocol, address, port), target in self._open.items():
                self._send("open", protocol, address, port, target)
            self._changed.notify_all()
        try:
            with sock, sock.makefile("rb") as lines:
                while line := lines.readline(MAX_LINE):
                    self._take(line)
        except (OSError, ValueError) as error:
            log.warning("the host's side of published ports: %s", error)
        finally:
            with self._lock:
                if self._sock is sock:
                    self._sock = None
                self._changed.notify_all()

    def _take(self, line: bytes) -> None:
        answer = json.loads(line)
        with self._lock:
            self._answers[int(answer["id"])] = answer
            self._changed.notify_all()

    def _send(self, op: str, protocol: str, address: str, port: int, target: str) -> int:
        self._number += 1
        message = {
            "id": self._number, "op": op, "protocol": protocol, "address": address, "port": port, "target": target,
        }  # fmt: skip
        if self._sock is not None:
            try:
                self._sock.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                self._sock = None
        return self._number

    def open(self, protocol: str, address: str, port: int, target: str, target_port: int) -> int:
        """See `Publisher`."""
        place = format_target(target, target_port)
        with self._lock:
            if not self._changed.wait_for(lambda: self._sock is not None, ANSWER_S):
                raise AgentError(Kind.UNAVAILABLE, "the machine's host does not answer; its keeper may be gone")
            asked, sock = self._send("open", protocol, address, port, place), self._sock
            self._changed.wait_for(lambda: asked in self._answers or self._sock is not sock, ANSWER_S)
            answer = self._answers.pop(asked, None)
            if answer is None:
                raise AgentError(Kind.UNAVAILABLE, "the machine's host does not answer; its keeper may be gone")
            if "error" in answer:
                raise PortTaken(str(answer["error"]))
            self._open[protocol, address, int(answer["port"])] = place
            return int(answer["port"])

    def keep(self, protocol: str, address: str, port: int, target: str, target_port: int) -> None:
        """See `Publisher`. The keeper is told when it comes, which is after this."""
        place = format_target(target, target_port)
        with self._lock:
            self._open[protocol, address, port] = place
            if self._sock is not None:
                self._send("open", protocol, address, port, place)

    def close(self, protocol: str, address: str, port: int) -> None:
        """See `Publisher`."""
        with self._lock:
            if self._open.pop((protocol, address, port), None) is not None:
                asked, sock = self._send("close", protocol, address, port, ""), self._sock
                # The port is free when the container is gone: the next one may want it at once.
                self._changed.wait_for(lambda: asked in self._answers or self._sock is not sock, ANSWER_S)
                self._answers.pop(asked, None)
