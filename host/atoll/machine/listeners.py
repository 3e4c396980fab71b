"""Where local clients connect: a unix socket that only its owner can open, or loopback TCP with a token on Windows."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from .endpoint import Endpoint

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TOKEN_BYTES = 32
TOKEN_DEADLINE_S = 5.0
LIMIT = 256 * 1024


async def listen(path: Path, handler: Handler) -> tuple[asyncio.AbstractServer, Endpoint]:
    """Listen for local clients of the machine's owner."""
    if sys.platform == "win32":
        return await listen_with_token(handler)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    previous = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(handler, str(path), limit=LIMIT)
    finally:
        os.umask(previous)
    return server, Endpoint("unix", str(path))


async def listen_with_token(handler: Handler) -> tuple[asyncio.AbstractServer, Endpoint]:
    """Listen on loopback; a client's first line must be the token, since any user of the computer can connect."""
    token = secrets.token_hex(TOKEN_BYTES)

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), TOKEN_DEADLINE_S)
        except (TimeoutError, ValueError, OSError):
            line = b""
        if not hmac.compare_digest(line.strip(), token.encode()):
            writer.transport.abort()
            return
        await handler(reader, writer)

    server = await asyncio.start_server(check, "127.0.0.1", 0, limit=LIMIT)
    port = server.sockets[0].getsockname()[1]
    return server, Endpoint("tcp", f"127.0.0.1:{port}", token)


async def listen_loopback(handler: Handler) -> tuple[asyncio.AbstractServer, int]:
    """Listen on a free loopback port without a token (SSH proves its clients itself); returns the port."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0, limit=LIMIT)
    return server, int(server.sockets[0].getsockname()[1])
