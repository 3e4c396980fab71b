"""`/exec/...`: commands in running containers. `containers.create_exec` makes them."""

from __future__ import annotations

from .transport import RawStream, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Engine


class Execs:
    """Execs of one engine. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, exec_id: str, *, tty: bool = False) -> RawStream:
        """Start an exec and connect to its streams."""
        return self._engine.hijack(f"/exec/{quote(exec_id)}/start", json={"Detach": False, "Tty": tty})

    def start_detached(self, exec_id: str, *, tty: bool = False) -> None:
        """Start an exec and leave it alone."""
        self._engine.call("POST", f"/exec/{quote(exec_id)}/start", json={"Detach": True, "Tty": tty})

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """Everything about an exec, its exit code among it."""
        answer: dict[str, Any] = self._engine.call("GET", f"/exec/{quote(exec_id)}/json")
        return answer

    def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Tell the terminal's size."""
        self._engine.call("POST", f"/exec/{quote(exec_id)}/resize", {"h": height, "w": width})
