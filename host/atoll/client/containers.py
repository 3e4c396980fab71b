"""`/containers/...`: one method per endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .transport import RawStream, Response, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Engine
    from .types import ContainerCreated, ContainerSummary, CreateRequest, ExecRequest, WaitResult

Filters = Mapping[str, Sequence[str]]


def format_filters(filters: Filters | None) -> str | None:
    """Format filters as the API takes them."""
    return json.dumps({name: list(values) for name, values in filters.items()}) if filters else None


class Wait:
    """A wait the engine has taken note of: what happens from now on is not missed."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def result(self) -> WaitResult:
        """Block until the container has ended (or, with condition `removed`, is gone).

        Raises:
            OutcomeUnknown: the engine went away first.
        """
        result: WaitResult = self._response.json()
        return result

    def close(self) -> None:
        """Stop waiting; wakes a thread in `result`."""
        self._response.close()

    def __enter__(self) -> Wait:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._response.finished:
            self.close()


class Containers:
    """Containers of one engine. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(
        self, *, all: bool = False, limit: int | None = None, size: bool = False, filters: Filters | None = None
    ) -> Sequence[ContainerSummary]:
        """Running containers, or all of them, the newest first."""
        query = {"all": all or None, "limit": limit, "size": size or None, "filters": format_filters(filters)}
        found: Sequence[ContainerSummary] = self._engine.call("GET", "/containers/json", query)
        return found

    def create(self, request: CreateRequest, *, name: str = "", platform: str = "") -> ContainerCreated:
        """Create a container."""
        query = {"name": name or None, "platform": platform or None}
        created: ContainerCreated = self._engine.call("POST", "/containers/create", query, request)
        return created

    def inspect(self, container: str, *, size: bool = False) -> dict[str, Any]:
        """Everything about a container."""
        answer: dict[str, Any] = self._engine.call(
            "GET", f"/containers/{quote(container)}/json", {"size": size or None}
        )
        return answer

    def start(self, container: str, *, detach_keys: str | None = None) -> None:
        """Start a container; nothing happens when it runs."""
        self._engine.call("POST", f"/containers/{quote(container)}/start", {"detachKeys": detach_keys})

    def stop(self, container: str, *, timeout_s: int | None = None, signal: str | None = None) -> None:
        """Ask a container to end, kill it after a while."""
        self._engine.call("POST", f"/containers/{quote(container)}/stop", {"t": timeout_s, "signal": signal})

    def restart(self, container: str, *, timeout_s: int | None = None, signal: str | None = None) -> None:
        """Stop and start a container."""
        self._engine.call("POST", f"/containers/{quote(container)}/restart", {"t": timeout_s, "signal": signal})

    def pause(self, container: str) -> None:
        """Stop all of a container's processes where they are."""
        self._engine.call("POST", f"/containers/{quote(container)}/pause")

    def unpause(self, container: str) -> None:
        """Let a paused container's processes go on."""
        self._engine.call("POST", f"/containers/{quote(container)}/unpause")

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        self._engine.call("POST", f"/containers/{quote(container)}/rename", {"name": name})

    def update(self, container: str, changes: dict[str, Any]) -> Sequence[str]:
        """Change limits and restart policy of a container; returns the engine's warnings."""
        answer = self._engine.call("POST", f"/containers/{quote(container)}/update", json=changes)
        return (answer or {}).get("Warnings") or ()

    def top(self, container: str, ps_arguments: str = "") -> dict[str, Any]:
        """The processes of a container: `Titles` and rows of `Processes`."""
        query = {"ps_args": ps_arguments or None}
        answer: dict[str, Any] = self._engine.call("GET", f"/containers/{quote(container)}/top", query)
        return answer

    def stats(self, container: str, *, stream: bool) -> Response:
        """What a container uses: lines of JSON, one a second, or only one."""
        return self._engine.request("GET", f"/containers/{quote(container)}/stats", {"stream": stream})

    def changes(self, container: str) -> Sequence[dict[str, Any]]:
        """What a container changed in its files: `Path` and `Kind` (0 changed, 1 added, 2 deleted)."""
        found: Sequence[dict[str, Any]] | None = self._engine.call("GET", f"/containers/{quote(container)}/changes")
        return found or ()

    def export(self, container: str) -> Response:
        """A container's files as a tar archive."""
        return self._engine.request("GET", f"/containers/{quote(container)}/export")

    def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove all containers that do not run."""
        answer: dict[str, Any] = self._engine.call("POST", "/containers/prune", {"filters": format_filters(filters)})
        return answer

    def kill(self, container: str, signal: str = "KILL") -> None:
        """Send a signal to a container's first process."""
        self._engine.call("POST", f"/containers/{quote(container)}/kill", {"signal": signal})

    def remove(self, container: str, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        """Remove a container, or only a link to it."""
        query = {"force": force or None, "v": volumes or None, "link": link or None}
        self._engine.call("DELETE", f"/containers/{quote(container)}", query)

    def resize(self, container: str, *, height: int, width: int) -> None:
        """Tell the terminal's size."""
        self._engine.call("POST", f"/containers/{quote(container)}/resize", {"h": height, "w": width})

    def wait_begun(self, container: str, condition: str = "not-running") -> Wait:
        """Begin to wait; the engine has taken note when this returns.

        Arguments:
            condition: `not-running`, `next-exit` or `removed`.
        """
        path = f"/containers/{quote(container)}/wait"
        return Wait(self._engine.request("POST", path, {"condition": condition}))

    def attach(
        self,
        container: str,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> RawStream:
        """Connect to a container's streams."""
        query = {
            "stream": 1,
            "stdin": stdin or None,
            "stdout": stdout or None,
            "stderr": stderr or None,
            "logs": logs or None,
            "detachKeys": detach_keys,
        }
        return self._engine.hijack(f"/containers/{quote(container)}/attach", query)

    def logs(
        self,
        container: str,
        *,
        follow: bool = False,
        since: str | None = None,
        until: str | None = None,
        timestamps: bool = False,
        tail: str = "all",
        details: bool = False,
    ) -> Response:
        """What a container wrote; frames as in `attach` unless it has a terminal."""
        query = {
            "stdout": 1,
            "stderr": 1,
            "follow": follow or None,
            "since": since,
            "until": until,
            "timestamps": timestamps or None,
            "tail": tail,
            "details": details or None,
        }
        return self._engine.request("GET", f"/containers/{quote(container)}/logs", query)

    def create_exec(self, container: str, request: ExecRequest) -> str:
        """Prepare a command in a running container; returns the exec's id."""
        return str(self._engine.call("POST", f"/containers/{quote(container)}/exec", json=request)["Id"])
