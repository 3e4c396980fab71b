"""The host's end of a machine's wire: local connections in, streams of `api.mux` out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import select
import socket
import sys

from atoll_agent.api.mux import NONCE_SIZE, Closed, Data, Eof, Multiplexer, MuxError, Ready, Writable

from ..errors import AgentUnreachable

log = logging.getLogger(__name__)
READ = 64 * 1024
HANG_UP_CHECK_S = 1.0


class _Stream:
    """One stream and the local connection it belongs to."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.writable = asyncio.Event()
        self.gone = asyncio.Event()


class HostChannel:
    """All streams of one machine. Belongs to one event loop.

    Arguments:
        reader: from the port.
        writer: to the port.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._mux = Multiplexer(host=True)
        self._streams: dict[int, _Stream] = {}
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._own: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._pump())

    def port_opened(self) -> None:
        """The guest opened the port: begin a session."""
        self._drop_all()
        self._mux.start(secrets.token_bytes(NONCE_SIZE))
        self._flush()

    def port_closed(self) -> None:
        """The guest closed the port (the agent died): every stream is lost."""
        self.ready.clear()
        self._drop_all()
        self._mux.reset()

    def close(self) -> None:
        """End everything at once."""
        self.port_closed()
        self.ended.set()
        self._task.cancel()
        self._writer.close()

    def _drop_all(self) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.gone.set()
            stream.writable.set()
            stream.incoming.put_nowait(None)
            stream.writer.transport.abort()

    async def _pump(self) -> None:
        try:
            while data := await self._reader.read(READ):
                for event in self._mux.feed(data):
                    self._handle(event)
                self._flush()
        except MuxError as error:
            log.error("the machine's channel: %s", error)
        except OSError as error:
            log.info("the machine's channel ended: %s", error)
        finally:
            self.ended.set()
            self.ready.clear()
            self._drop_all()

    def _handle(self, event: object) -> None:
        if isinstance(event, Ready):
            self.ready.set()
            return
        stream = self._streams.get(getattr(event, "stream", -1))
        if stream is None:
            return
        if isinstance(event, Data):
            stream.incoming.put_nowait(event.data)
        elif isinstance(event, Eof):
            stream.incoming.put_nowait(b"")
        elif isinstance(event, Closed):
            stream.gone.set()
            stream.writable.set()
            stream.incoming.put_nowait(None)
        elif isinstance(event, Writable):
            stream.writable.set()

    def _flush(self) -> None:
        data = self._mux.outgoing()
        if data and not self._writer.is_closing():
            self._writer.write(data)

    async def open(self, service: str, wait_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new stream of a service for this process itself; it ends with its writer, or when the session does."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        serving = asyncio.create_task(self._serve_ours(service, theirs, wait_s))
        self._own.add(serving)
        serving.add_done_callback(self._own.discard)
        return reader, writer

    async def _serve_ours(self, service: str, theirs: socket.socket, wait_s: float) -> None:
        reader, writer = await asyncio.open_connection(sock=theirs)
        with contextlib.suppress(AgentUnreachable, OSError):
            await self.serve(service, reader, writer, wait_s)

    async def serve(
        self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait_s: float
    ) -> None:
        """Join a local connection to a new stream of a service, until both have ended.

        Arguments:
            wait_s: how long to wait for a session when there is none just now (the agent is being restarted).
        """
        try:
            await asyncio.wait_for(self.ready.wait(), wait_s)
            number = self._mux.open(service)
        except (TimeoutError, MuxError) as error:
            writer.transport.abort()
            raise AgentUnreachable("the machine's agent does not answer", "see `atoll machine logs`") from error
        stream = self._streams[number] = _Stream(writer)
        self._flush()
        sender = asyncio.create_task(self._send(number, stream, reader))
        try:
            await self._receive(number, stream)
        except (OSError, ConnectionError):
            pass
        finally:
            sender.cancel()
            self._mux.close(number)
            self._flush()
            self._streams.pop(number, None)
            writer.close()

    async def _send(self, number: int, stream: _Stream, reader: asyncio.StreamReader) -> None:
        """From the local connection to the guest, as fast as its credit comes back."""
        with contextlib.suppress(OSError):
            while data := await reader.read(READ):
                view = memoryview(data)
                while view and not stream.gone.is_set():
                    stream.writable.clear()
                    view = view[self._mux.send(number, view) :]
                    self._flush()
                    await self._writer.drain()
                    if view:
                        await stream.writable.wait()
            self._mux.send_eof(number)
            self._flush()
            await self._hang_up(stream)
        stream.incoming.put_nowait(None)

    @staticmethod
    async def _hang_up(stream: _Stream) -> None:
        """After a half-close, wait until the client is gone altogether.

        Nothing tells: a socket that is half-closed stays readable for ever, so it is asked once a second, and only on
        systems that can tell the two apart.
        """
        if sys.platform == "win32":
            await stream.gone.wait()
            return
        sock = stream.writer.get_extra_info("socket")
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        while not stream.gone.is_set():
            if any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0)):
                return
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(stream.gone.wait(), HANG_UP_CHECK_S)

    async def _receive(self, number: int, stream: _Stream) -> None:
        """From the guest to the local connection."""
        while (data := await stream.incoming.get()) is not None:
            if not data:
                if stream.writer.can_write_eof():
                    stream.writer.write_eof()
                continue
            stream.writer.write(data)
            await stream.writer.drain()
            self._mux.consumed(number, len(data))
            self._flush()
        await stream.writer.drain()
