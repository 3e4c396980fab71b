"""The monitor's session, with a QEMU that answers, refuses, says nonsense, nothing, or ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from atoll.errors import BootError, ProtocolError
from atoll.qemu.argv import Channel
from atoll.qemu.monitor import Monitor

GREETING = {"QMP": {"version": {"qemu": {"major": 8, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}
STAMP = {"seconds": 0, "microseconds": 0}
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def say(writer: asyncio.StreamWriter, message: object) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


async def read_commands(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Commands; they need not end with a newline."""
    text = ""
    while data := await reader.read(65536):
        text += data.decode()
        while text := text.lstrip():
            try:
                command, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            yield command


async def qemu(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A QEMU of few commands."""
    say(writer, GREETING)
    async for command in read_commands(reader):
        match command["execute"]:
            case "query-status":
                say(writer, {"return": {"status": "running"}, "id": command.get("id")})
            case "echo":
                say(writer, {"return": command.get("arguments", {}), "id": command.get("id")})
            case "system_reset":
                say(writer, {"event": "RESET", "data": {"guest": True}, "timestamp": STAMP})
                say(writer, {"event": "STOP", "timestamp": STAMP})
                say(writer, {"return": {}, "id": command.get("id")})
            case "nonsense":
                say(writer, {"error": {"class": "CommandNotFound", "desc": "unknown command"}, "id": command.get("id")})
            case "die":
                return
            case _:
                say(writer, {"return": {}, "id": command.get("id")})


@asynccontextmanager
async def serving(talk: Talk, path: Path | None = None) -> AsyncIterator[Channel]:
    """Somebody on a loopback port, or a unix socket."""
    talking: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talking.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    if path and sys.platform != "win32":
        server: asyncio.AbstractServer = await asyncio.start_unix_server(serve, str(path))
        channel = Channel("unix", str(path))
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        channel = Channel("tcp", str(server.sockets[0].getsockname()[1]))
    try:
        yield channel
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


@asynccontextmanager
async def connected(talk: Talk = qemu, on_event: Any = lambda name, data: None) -> AsyncIterator[Monitor]:
    """A session."""
    async with serving(talk) as channel:
        monitor = Monitor("test", on_event)
        try:
            await monitor.connect(channel, 30, lambda: True)
            yield monitor
        finally:
            await monitor.close()


def test_commands_and_their_arguments() -> None:
    async def work() -> None:
        async with connected() as monitor:
            assert await monitor.execute("query-status") == {"status": "running"}
            assert await monitor.execute("echo", device="x", value=3) == {"device": "x", "value": 3}

    asyncio.run(work())


def test_events_in_order_also_those_without_data() -> None:
    async def work() -> None:
        seen: list[tuple[str, dict[str, Any]]] = []
        enough = asyncio.Event()

        def note(name: str, data: dict[str, Any]) -> None:
            seen.append((name, data))
            if len(seen) == 2:
                enough.set()

        async with connected(on_event=note) as monitor:
            await monitor.execute("system_reset")
            await asyncio.wait_for(enough.wait(), 30)
        assert seen == [("RESET", {"guest": True}), ("STOP", {})]

    asyncio.run(work())


def test_a_refusal_leaves_the_session_usable() -> None:
    async def work() -> None:
        async with connected() as monitor:
            with pytest.raises(ProtocolError, match="QEMU refuses nonsense: unknown command"):
                await monitor.execute("nonsense")
            assert await monitor.execute("query-status")

    asyncio.run(work())


def test_qemu_ends_in_the_middle_of_a_command() -> None:
    async def work() -> None:
        async with connected() as monitor:
            for _ in range(2):
                with pytest.raises(ProtocolError, match="QEMU is gone"):
                    await monitor.execute("die")

    asyncio.run(work())


def test_a_command_without_a_session() -> None:
    async def work() -> None:
        monitor = Monitor("test", lambda name, data: None)
        with pytest.raises(ProtocolError, match="QEMU is gone"):
            await monitor.execute("quit")
        await monitor.close()

    asyncio.run(work())


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org ESMTP\r\n")
    await writer.drain()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def no_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    say(writer, {"return": {}})
    await reader.read()


async def refusal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    say(writer, GREETING)
    async for command in read_commands(reader):
        say(writer, {"error": {"class": "GenericError", "desc": "no"}, "id": command.get("id")})


@pytest.mark.parametrize("talk", [garbage, silence, hang_up, no_greeting, refusal])
def test_the_port_is_another_programs(talk: Talk) -> None:
    async def work() -> None:
        async with serving(talk) as channel:
            monitor = Monitor("test", lambda name, data: None)
            with pytest.raises(BootError, match="monitor did not answer within"):
                await monitor.connect(channel, 0.2, lambda: True)
            await monitor.close()

    asyncio.run(work())


def test_nobody_listens(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(qemu) as channel:
            pass
        for deadline_s, alive, why in ((0.05, True, "did not answer within"), (30.0, False, "QEMU ended before")):
            monitor = Monitor("test", lambda name, data: None)
            with pytest.raises(BootError, match=why):
                await monitor.connect(channel, deadline_s, lambda alive=alive: alive)
            await monitor.close()

    asyncio.run(work())


@pytest.mark.skipif(sys.platform == "win32", reason="asyncio has no unix sockets on Windows; QEMU listens on TCP there")
def test_the_socket_comes_later_in_the_place_of_a_stale_file(tmp_path: Path) -> None:
    async def work() -> None:
        path = tmp_path / "monitor.sock"
        path.write_bytes(b"left behind")
        async with contextlib.AsyncExitStack() as stack:
            asked = 0

            def alive() -> bool:
                nonlocal asked
                asked += 1
                return True

            async def start() -> None:
                while asked < 3:
                    await asyncio.sleep(0)
                path.unlink()
                await stack.enter_async_context(serving(qemu, path))

            monitor = Monitor("test", lambda name, data: None)
            starting = asyncio.ensure_future(start())
            await monitor.connect(Channel("unix", str(path)), 30, alive)
            assert await monitor.execute("query-status")
            await monitor.close()
            await starting

    asyncio.run(work())
