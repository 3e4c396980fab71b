"""Published ports on the host: listeners that the machine's engine asks for, each joined to streams into the machine.

The engine says what it wants on a stream of its own (JSON lines, see the guest's `network.publish`); nothing is scanned
and nothing guessed. Without an address a port is opened on 127.0.0.1: what a container serves is for this computer
until somebody says `-p 0.0.0.0:...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
UDP_IDLE_S = 90.0
MAX_WAITING = 64
MAX_PEERS = 256

Serve = Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Joins a local connection to a stream of a named service of the machine."""

Open = Callable[[str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Makes a stream of a named service for this process itself."""

Key = tuple[str, str, int]


class HostPorts:
    """The open ports of one machine. Belongs to one event loop."""

    def __init__(self, serve: Serve, open_: Open) -> None:
        self._serve, self._open_stream = serve, open_
        self._open: dict[Key, asyncio.AbstractServer | asyncio.DatagramTransport] = {}

    async def follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry out what an engine asks until its stream ends. It tells all its ports again when it begins."""
        self.close()
        while line := await reader.readline():
            answer = await self._carry_out(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def _carry_out(self, line: bytes) -> dict[str, Any]:
        message = json.loads(line)
        number = int(message["id"])
        protocol, address, port = str(message["protocol"]), str(message["address"]), int(message["port"])
        if message["op"] == "close":
            await self._shut((protocol, address, port))
            return {"id": number, "port": port}
        try:
            found = await self._listen(protocol, address, port, str(message["target"]))
        except (OSError, ValueError, OverflowError) as error:
            log.info("port %s:%s/%s: %s", address, port, protocol, error)
            text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            return {"id": number, "error": text}
        return {"id": number, "port": found}

    async def _listen(self, protocol: str, address: str, port: int, target: str) -> int:
        place = address or LOOPBACK
        if protocol == "tcp":
            server = await asyncio.start_server(lambda r, w: self._join(target, r, w), place, port)
            found = int(server.sockets[0].getsockname()[1])
            self._open[protocol, address, found] = server
            return found
        if protocol == "udp":
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._open_stream, target), local_addr=(place, port)
            )
            found = int(transport.get_extra_info("sockname")[1])
            self._open[protocol, address, found] = transport
            return found
        return port  # SCTP stays inside the machine: QEMU's host side has none

    async def _join(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Exception):  # a lost connection is its client's to notice
            await self._serve(f"tcp:{target}", reader, writer)

    async def _shut(self, key: Key) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            found.close()
        if isinstance(found, asyncio.AbstractServer):
            await asyncio.sleep(0)  # the socket is closed by the loop's next turn

    def close(self) -> None:
        """Open ports no more."""
        for found in self._open.values():
            found.close()
        self._open.clear()


class _Datagrams(asyncio.DatagramProtocol):
    """One published UDP port: a stream into the machine for every peer, each datagram with its length before it."""

    def __init__(self, open_: Open, target: str) -> None:
        self._open, self._target = open_, target
        self._transport: asyncio.DatagramTransport | None = None
        self._peers: dict[Any, asyncio.Queue[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is open."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A peer sends. Datagrams may be lost: those of too many peers, or too many of one."""
        if addr not in self._peers:
            if len(self._peers) >= MAX_PEERS:
                return
            self._peers[addr] = asyncio.Queue(MAX_WAITING)
            task = asyncio.ensure_future(self._talk(addr, self._peers[addr]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.QueueFull):
            self._peers[addr].put_nowait(data)

    async def _talk(self, peer: Any, waiting: asyncio.Queue[bytes]) -> None:
        """Carry one peer's datagrams until it has said nothing for a while."""
        try:
            reader, writer = await self._open(f"udp:{self._target}")
            answering = asyncio.ensure_future(self._answer(peer, reader))
            try:
                while not answering.done():
                    data = await asyncio.wait_for(waiting.get(), UDP_IDLE_S)
                    writer.write(len(data).to_bytes(2, "big") + data)
                    await writer.drain()
            finally:
                answering.cancel()
                writer.close()
        except (TimeoutError, OSError):
            pass  # it is silent, or the machine is gone
        finally:
            del self._peers[peer]

    async def _answer(self, peer: Any, reader: asyncio.StreamReader) -> None:
        assert self._transport
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                self._transport.sendto(await reader.readexactly(size), peer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The port is closed."""
        for task in self._tasks:
            task.cancel()
