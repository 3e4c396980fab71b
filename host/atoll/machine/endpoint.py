"""Where an engine answers."""

from __future__ import annotations

from typing import NamedTuple


class Endpoint(NamedTuple):
    """An address of an engine.

    Attributes:
        kind: `unix`, `tcp` or `npipe`.
        address: a path, or `host:port`.
        token: sent as the first line of a loopback TCP connection; "" for none.
    """

    kind: str
    address: str
    token: str = ""

    def to_docker_host(self) -> str:
        """The value of DOCKER_HOST."""
        if self.kind == "unix":
            return f"unix://{self.address}"
        return f"{self.kind}://{self.address}"
