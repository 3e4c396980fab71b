"""The engine itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from ...api.errors import AgentError, Kind
from ...network.networks import Networks
from .. import events as events_module
from ..containers import Containers
from ..events import Events
from ..processes import proportional_bytes
from ..supervision import Supervision
from ..system import Identity, describe_info, describe_version
from ..usage import describe_usage

Json = dict[str, Any]


class SystemNoun:
    """The engine as a whole."""

    def __init__(
        self, identity: Identity, containers: Containers, networks: Networks, events: Events, supervision: Supervision
    ) -> None:
        self._identity, self._containers, self._networks = identity, containers, networks
        self._events, self._supervision = events, supervision

    def version(self) -> Json:
        """`GET /version`."""
        return describe_version()

    def info(self) -> Json:
        """`GET /info`."""
        return describe_info(self._identity, self._containers, self._containers.images, self._containers.hierarchy)

    def usage(self, kinds: list[str]) -> Json:
        """`GET /system/df`."""
        return describe_usage(self._containers, self._networks, self._containers.volumes.store, kinds)

    def events(
        self, since_ns: int | None, until_ns: int | None, filters: dict[str, list[str]]
    ) -> Iterator[Json | None]:
        """Past and coming events."""
        heard = self._events.listen(since_ns, until_ns)
        return (event for event in heard if event is None or events_module.matches(event, filters))

    def set_time(self, time_ns: int) -> None:
        """Set the machine's clock; only in a machine, where it is ours."""
        if not self._identity.machine:
            raise AgentError(Kind.FORBIDDEN, "the native driver does not set the host's clock")
        time.clock_settime_ns(time.CLOCK_REALTIME, time_ns)

    def memory(self) -> Json:
        """What agent and supervisor use: proportional set sizes in bytes."""
        return {"agent": proportional_bytes(os.getpid()), "supervisor": proportional_bytes(os.getppid())}

    def shutdown(self, timeout_s: float) -> None:
        """End everything."""
        self._supervision.shutdown(timeout_s)
