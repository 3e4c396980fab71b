"""Which engine a command speaks to: a machine's, or one named by its address."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client.engine import Engine
    from ..machine.endpoint import Endpoint

MACHINE_SOCKET = "/run/docker.sock"
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
            self._engine = self._find_running() or self._start()
        return self._engine

    def api_socket(self) -> str:
        """The engine's own socket as its containers may be given it.

        That of an address, or of the engine on this host; in a machine it is where all look for it.
        """
        from ..machine.store import find_machine

        machine = None if self.host else find_machine(self.machine)
        if self.host or (machine and machine.config.driver == "native"):
            endpoint = self.engine().endpoint
            return endpoint.address if endpoint.kind == "unix" else MACHINE_SOCKET
        return MACHINE_SOCKET

    def _find_running(self) -> Engine | None:
        """The engine of a machine that runs, which is nearly always: without loading what starts one."""
        if self.host or self.driver:
            return None
        from ..client.engine import Engine
        from ..errors import AgentUnreachable
        from ..machine.running import find_endpoint

        endpoint = find_endpoint(self.machine)
        if endpoint is None:
            return None
        engine = Engine(endpoint)
        try:
            engine.connect()
        except AgentUnreachable:
            return None
        return engine

    def _start(self) -> Engine:
        from ..client.engine import Engine

        if self.host:
            return Engine(parse_host(self.host))
        from ..machine.lifecycle import ensure_running
        from .render import say

        return Engine(ensure_running(self.machine, driver=self.driver, say=say))

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
