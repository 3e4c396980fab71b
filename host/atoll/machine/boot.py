"""One attempt to boot a machine with one accelerator: QEMU, its monitor, the channel, until the agent answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..errors import AgentUnreachable, BootError, ProtocolError
from ..qemu.argv import Channel, QemuPlan, build_argv
from ..qemu.monitor import Monitor
from ..system.processes import start_mark
from .channel import HostChannel
from .proof import DRY_RUN_S, SIGN_OF_LIFE_S
from .readiness import Requirement, meet

log = logging.getLogger(__name__)
AGENT_S = 60.0
QUIT_S = 3.0


@dataclass
class Running:
    """A machine that is up (or on its way)."""

    process: asyncio.subprocess.Process
    monitor: Monitor
    channel: HostChannel
    mark: str


def free_port() -> int:
    """A loopback port that is free now."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def choose_channels(sockets: Path) -> tuple[Channel, Channel]:
    """Where QEMU's monitor and the agent's port will be: unix sockets, or loopback TCP where asyncio has none."""
    if sys.platform == "win32":
        return Channel("tcp", str(free_port())), Channel("tcp", str(free_port()))
    return Channel("unix", str(sockets / "monitor.sock")), Channel("unix", str(sockets / "wire.sock"))


async def attempt(
    plan: QemuPlan, accelerator: str, log_file: IO[bytes], on_process: Callable[[int], None] = lambda pid: None
) -> Running:
    """Boot with one accelerator.

    Arguments:
        on_process: told QEMU's process id as soon as there is one.

    Raises:
        GuestDied: QEMU ended after the guest had been started.
        BootError: with what did not happen; nothing of the attempt is left.
    """
    plan = replace(plan, accelerator=accelerator)
    for channel in (plan.monitor, plan.wire):
        if channel.kind == "unix":
            Path(channel.address).unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *build_argv(plan), stdin=asyncio.subprocess.DEVNULL, stdout=log_file, stderr=log_file
    )
    port_open = asyncio.Event()
    running: Running | None = None

    def on_event(name: str, data: dict[str, Any]) -> None:
        if name == "VSERPORT_CHANGE" and data.get("id") == "wire":
            if data.get("open"):
                port_open.set()
                if running:
                    running.channel.port_opened()
            elif running:
                running.channel.port_closed()

    monitor = Monitor(plan.name, on_event)

    def alive() -> bool:
        return process.returncode is None

    try:
        on_process(process.pid)
        await monitor.connect(plan.monitor, DRY_RUN_S, alive)
        reader, writer = await _open(plan.wire)
        running = Running(process, monitor, HostChannel(reader, writer), start_mark(process.pid))
        await monitor.execute("cont")
        await meet(_requirements(running, port_open, accelerator), _death(process))
    except BaseException as error:
        await _end(process, monitor, running)
        if isinstance(error, ProtocolError | AgentUnreachable | OSError):
            raise BootError(str(error) or type(error).__name__) from error
        raise
    return running


async def _open(channel: Channel) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if sys.platform != "win32" and channel.kind == "unix":
        return await asyncio.open_unix_connection(channel.address)
    return await asyncio.open_connection("127.0.0.1", int(channel.address))


def _requirements(running: Running, port_open: asyncio.Event, accelerator: str) -> list[Requirement]:
    """What must become true, in order."""
    return [
        Requirement("the guest gives a sign of life", port_open.wait, SIGN_OF_LIFE_S[accelerator]),
        Requirement("the agent opens its channel", running.channel.ready.wait, AGENT_S),
        Requirement("the agent answers", lambda: ping(running.channel), AGENT_S),
    ]


async def _death(process: asyncio.subprocess.Process) -> str:
    code = await process.wait()
    return f"QEMU ended with exit code {code}"


async def ping(channel: HostChannel) -> None:
    """Ask the agent whether it is there.

    Raises:
        ProtocolError: it answers something else.
    """
    answer = await request(channel, "GET", "/_ping")
    if b" 200 " not in answer[:20]:
        raise ProtocolError(f"the agent answers {answer[:60]!r}")


async def request(channel: HostChannel, method: str, path: str, body: bytes = b"") -> bytes:
    """One request to the agent over a stream of its own; the whole answer, unparsed."""
    reader, writer = await channel.open("api", AGENT_S)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: atoll\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return await reader.read(-1)
    finally:
        writer.close()


async def _end(process: asyncio.subprocess.Process, monitor: Monitor, running: Running | None) -> None:
    """Take an attempt back."""
    if running:
        running.channel.close()
    await monitor.close()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await _quietly(process.wait())


async def _quietly(awaitable: Awaitable[object]) -> None:
    with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
        await asyncio.wait_for(awaitable, QUIT_S)
