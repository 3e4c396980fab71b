"""Execs: further processes in running containers."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from ..api.errors import AgentError, Kind, conflict, invalid, not_found
from ..runtime.messages import Message
from ..runtime.spec import ProcessSpec
from . import confinement
from .confinement import FilterCache
from .containers import Containers, attributes_of
from .create import DEFAULT_PATH
from .events import Events
from .failures import explain_exec
from .plan import parse_security, plan_rlimits, plan_seccomp
from .records import Container
from .supervision import StartFailed, Supervision

MAX_FINISHED = 512
"""Finished execs that are remembered for `inspect`; Docker forgets them after some minutes."""


@dataclass
class Exec:
    """One exec. Its settings are Docker's ExecConfig."""

    id: str
    container: Container
    config: dict[str, Any]
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    pid: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def terminal(self) -> bool:
        """Whether it has a terminal."""
        return bool(self.config.get("Tty"))


class Execs:
    """The register of execs. Thread-safe. They live in memory only: none outlives its container's run."""

    def __init__(self, containers: Containers, supervision: Supervision, filters: FilterCache, events: Events) -> None:
        self._containers, self._supervision = containers, supervision
        self._filters, self._events = filters, events
        self._by_id: dict[str, Exec] = {}
        self._lock = threading.Lock()

    def create(self, container: Container, body: dict[str, Any]) -> Exec:
        """Prepare an exec.

        Raises:
            AgentError: the container does not run, or a malformed request.
        """
        command = body.get("Cmd")
        if isinstance(command, str):
            command = body["Cmd"] = [command]
        if (
            not isinstance(command, list)
            or not command
            or not all(isinstance(c, str) and "\0" not in c for c in command)
        ):
            raise invalid("No exec command specified")
        if "detachKeys" in body:  # docker-py's spelling, which Go's JSON reader takes too
            body["DetachKeys"] = body.pop("detachKeys")
        for name in ("Env",):
            value = body.get(name) or []
            if not isinstance(value, list) or not all(isinstance(v, str) and "\0" not in v for v in value):
                raise invalid(f"invalid {name}: a list of strings is expected")
        if not container.running:
            raise conflict(f"container {container.id} is not running")
        made = Exec(secrets.token_hex(32), container, body)
        with self._lock:
            self._by_id[made.id] = made
            finished = [e for e in self._by_id.values() if e.exit_code is not None]
            for old in finished[: max(0, len(finished) - MAX_FINISHED)]:
                self._forget(old)
        container.exec_ids.append(made.id)
        attributes = attributes_of(container) | {"execID": made.id}
        self._events.publish("container", f"exec_create: {' '.join(command)}", container.id, attributes)
        return made

    def _forget(self, old: Exec) -> None:
        del self._by_id[old.id]
        if old.id in old.container.exec_ids:
            old.container.exec_ids.remove(old.id)

    def get(self, exec_id: str) -> Exec:
        """By id.

        Raises:
            AgentError: there is none.
        """
        with self._lock:
            found = self._by_id.get(exec_id)
        if found is None:
            raise not_found(f"No such exec instance: {exec_id}")
        return found

    def check_startable(self, wanted: Exec) -> None:
        """Raise unless it may be started now."""
        if wanted.started:
            raise conflict(f"exec {wanted.id} has already run")
        if not wanted.container.running:
            raise conflict(f"container {wanted.container.id} is not running")
        if wanted.container.state.paused:
            raise conflict(f"Container {wanted.container.id} is paused, unpause the container before exec")

    def start(self, wanted: Exec) -> None:
        """Start it; returns when its program runs.

        Raises:
            AgentError: what failed, in Docker's words.
        """
        with wanted.lock:
            self.check_startable(wanted)
            wanted.started = True
            try:
                answer = self._supervision.execute(wanted.id, wanted.container.id, self._plan(wanted))
            except StartFailed as failed:
                text, wanted.exit_code = explain_exec(failed.errno, wanted.config["Cmd"][0], failed.detail)
                if failed.stage != "exec":
                    text = f"{failed.stage}: {failed.detail.lower()}"
                raise AgentError(Kind.INVALID, f"OCI runtime exec failed: {text}") from failed
            if wanted.exit_code is None:
                wanted.running, wanted.pid = True, answer["pid"]
        attributes = attributes_of(wanted.container) | {"execID": wanted.id}
        action = f"exec_start: {' '.join(wanted.config['Cmd'])}"
        self._events.publish("container", action, wanted.container.id, attributes)

    def on_end(self, message: Message) -> None:
        """The supervisor tells that an exec ended."""
        with self._lock:
            found = self._by_id.get(message["key"])
        if found is None:
            return
        with found.lock:
            found.running, found.exit_code = False, message["exit_code"]
        attributes = attributes_of(found.container) | {"execID": found.id, "exitCode": str(found.exit_code)}
        self._events.publish("container", "exec_die", found.container.id, attributes)

    def _plan(self, wanted: Exec) -> ProcessSpec:
        config, host, body = wanted.container.config, wanted.container.host_config, wanted.config
        privileged = bool(host.get("Privileged"))
        no_new_privileges, profile, _ = parse_security(host.get("SecurityOpt") or [])
        own = confinement.plan_capabilities(host.get("CapAdd") or [], host.get("CapDrop") or [], privileged=privileged)
        # A privileged exec gets all capabilities, but the container's filter stays, as with runc.
        capabilities = confinement.plan_capabilities([], [], privileged=True) if body.get("Privileged") else own
        return {
            "args": list(body["Cmd"]),
            "env": plan_exec_environment(config, body),
            "cwd": str(body.get("WorkingDir") or config.get("WorkingDir") or "/"),
            "user": str(body.get("User") or config.get("User") or ""),
            "groups": list(host.get("GroupAdd") or []) if not body.get("User") else [],
            "capabilities": capabilities,
            "no_new_privileges": no_new_privileges,
            "seccomp": plan_seccomp(profile, own, privileged, self._filters),
            "rlimits": plan_rlimits(host),
            "oom_score_adj": None,
            "terminal": wanted.terminal,
            "height": (body.get("ConsoleSize") or [0, 0])[0],
            "width": (body.get("ConsoleSize") or [0, 0])[1],
            "stdin": bool(body.get("AttachStdin")),
            "stdin_once": True,
        }


def plan_exec_environment(config: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """The container's environment with the exec's own on top."""
    merged: dict[str, str] = {}
    base = [DEFAULT_PATH, f"HOSTNAME={config.get('Hostname') or ''}"] + (["TERM=xterm"] if body.get("Tty") else [])
    for item in [*base, *(config.get("Env") or []), *(body.get("Env") or [])]:
        name, equals, value = item.partition("=")
        if equals:
            merged[name] = value
        else:  # a name alone takes the variable away
            merged.pop(name, None)
    return [f"{name}={value}" for name, value in merged.items()]
