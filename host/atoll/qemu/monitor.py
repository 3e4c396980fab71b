"""QEMU's monitor: the only user of qemu.qmp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError
from qemu.qmp.protocol import Runstate

from ..errors import BootError, ProtocolError
from .argv import Channel

CONNECT_RETRY_S = 0.01
EventHandler = Callable[[str, dict[str, Any]], None]


class Monitor:
    """A QMP session. Belongs to one event loop."""

    def __init__(self, name: str, on_event: EventHandler) -> None:
        self._client = QMPClient(f"atoll-{name}")
        self._on_event = on_event
        self._task: asyncio.Task[None] | None = None

    async def connect(self, channel: Channel, deadline_s: float, alive: Callable[[], bool]) -> None:
        """Connect as soon as QEMU listens.

        Arguments:
            alive: whether QEMU still runs; when it does not, waiting is over.

        Raises:
            BootError: QEMU ended or did not answer in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + deadline_s
        address = channel.address if channel.kind == "unix" else ("127.0.0.1", int(channel.address))
        while True:
            try:
                await asyncio.wait_for(self._client.connect(address), max(0.1, deadline - loop.time()))
                break
            except (ConnectError, TimeoutError) as error:
                if not alive():
                    raise BootError("QEMU ended before its monitor answered") from error
                if loop.time() >= deadline:
                    raise BootError(f"QEMU's monitor did not answer within {deadline_s:.0f} s") from error
                if self._client.runstate is not Runstate.IDLE:
                    with contextlib.suppress(QMPError):
                        await self._client.disconnect()
                await asyncio.sleep(CONNECT_RETRY_S)  # QEMU makes its socket when it is ready; nobody tells us
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with self._client.listener() as listener:
            async for event in listener:
                data = event.get("data")
                self._on_event(str(event["event"]), data if isinstance(data, dict) else {})

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Execute a command.

        Raises:
            ProtocolError: QEMU refused, or is gone.
        """
        try:
            return await self._client.execute(command, arguments or None)
        except ExecuteError as error:
            raise ProtocolError(f"QEMU refuses {command}: {error}") from error
        except QMPError as error:
            raise ProtocolError(f"QEMU is gone: {error}") from error

    async def close(self) -> None:
        """End the session."""
        if self._task:
            self._task.cancel()
        with contextlib.suppress(QMPError, Exception):
            await self._client.disconnect()
