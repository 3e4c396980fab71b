"""Which engine a command speaks to: a machine's, or one named by its address."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client.engine import Engine
    from ..machine.endpoint import Endpoint

KINDS = ("unix", "tcp", "npipe")


class Target:
    """The answer to the global options; made by the root command, found by `pass_target`."""

    def __init__(self, *, machine: str = "default", driver: str | None = None, host: str | None = None) -> None:
        self.machine = machine
        self.driver = driver
        self.host = host
        self._engine: Engine | None = None

    def engine(self) -> Engine:
        """The engine; starts its machine, and makes the default one, if need be.

        Raises:
            HostError: no such machine, or it cannot be started.
        """
        if self._engine is None:
            from ..client.engine import Engine

            self._engine = Engine(self._endpoint())
        return self._engine

    def _endpoint(self) -> Endpoint:
        if self.host:
            return parse_host(self.host)
        from ..machine.lifecycle import ensure_running
        from .render import say

        return ensure_running(self.machine, driver=self.driver, say=say)

    def close(self) -> None:
        """Drop what was opened."""
        if self._engine:
            self._engine.close()


def parse_host(text: str) -> Endpoint:
    """Parse an engine's address, spelled as in `DOCKER_HOST`.

    Raises:
        ConfigError: not an address.
    """
    from ..errors import ConfigError
    from ..machine.endpoint import Endpoint

    kind, colon, address = text.partition("://")
    if not colon or kind not in KINDS or not address:
        raise ConfigError(
            f"invalid address of an engine: {text!r}", "use unix:///path, tcp://127.0.0.1:port or npipe:////./pipe/name"
        )
    if kind == "npipe":
        address = address.replace("/", "\\")
    return Endpoint(kind, address.rstrip("/") if kind == "tcp" else address, "")
