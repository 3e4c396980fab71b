"""Execs by id, and connections handed to the supervisor."""

from __future__ import annotations

import socket
from typing import Any

from ...api.errors import invalid
from ...api.types import Attachable
from ..containers import Containers
from ..execs import Execs
from ..inspect import exec_details
from ..supervision import Supervision

Json = dict[str, Any]
CTRL = {f"ctrl-{chr(c)}": c & 0x1F for c in range(ord("a"), ord("z") + 1)} | {
    "ctrl-@": 0, "ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31,
}  # fmt: skip


class ExecNoun:
    """Execs by id."""

    def __init__(self, execs: Execs, containers: Containers, supervision: Supervision) -> None:
        self._execs, self._containers, self._supervision = execs, containers, supervision

    def create(self, container: str, body: Json) -> str:
        """Prepare one; its id."""
        return self._execs.create(self._containers.get(container), body).id

    def attachable(self, exec_id: str) -> Attachable:
        """What a client may be attached to.

        Raises:
            AgentError: it cannot be started (any more).
        """
        found = self._execs.get(exec_id)
        self._execs.check_startable(found)
        keys = str(found.config.get("DetachKeys") or "")
        return Attachable(found.id, found.terminal, bool(found.config.get("AttachStdin")), keys)

    def start(self, exec_id: str) -> None:
        """Start one."""
        self._execs.start(self._execs.get(exec_id))

    def cancel(self, exec_id: str) -> None:
        """Let go of clients that wait for one that failed."""
        self._supervision.forget(exec_id)

    def resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of its terminal."""
        self._supervision.resize(self._execs.get(exec_id).id, height, width)

    def details(self, exec_id: str) -> Json:
        """Everything about one."""
        return exec_details(self._execs.get(exec_id))


class StreamNoun:
    """Hands connections to the supervisor."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision

    def attach(
        self,
        target: Attachable,
        client: socket.socket,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        keys: str,
        head: bytes,
        framed: bool,
    ) -> None:
        """Hand one over; the caller closes its copy."""
        self._supervision.attach(
            target.key,
            client,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            framed=framed,
            detach_keys=list(parse_detach_keys(keys or target.detach_keys)) if target.terminal and stdin else [],
            head=head.decode("latin-1"),
        )


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as bytes; "" means just that.

    Raises:
        AgentError: an unknown key.
    """
    out = bytearray()
    for key in (text or "ctrl-p,ctrl-q").split(","):
        if len(key) == 1 and key.isascii():
            out.append(ord(key))
        elif key in CTRL:
            out.append(CTRL[key])
        else:
            raise invalid(f"Unknown character: '{key[:20]}'")
    return bytes(out)
