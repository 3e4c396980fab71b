"""Where local clients connect: only the machine's owner gets through, on every system."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

import pytest

from atoll.machine import listeners
from atoll.machine.endpoint import Endpoint
from atoll.machine.listeners import LIMIT, listen, listen_loopback, listen_with_token

posix = pytest.mark.skipif(sys.platform == "win32", reason="asyncio has no unix sockets on Windows")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with everything that is left to read."""
    writer.write(b"heard " + await reader.read())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def ask(address: str, data: bytes) -> bytes:
    """Say something over TCP; b"" when the other side hangs up."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_a_token_opens_the_loopback_port_and_nothing_else() -> None:
    async def work() -> None:
        server, endpoint = await listen_with_token(echo)
        async with server:
            assert endpoint.kind == "tcp"
            assert endpoint.address.startswith("127.0.0.1:")
            token = endpoint.token.encode()
            assert len(token) == 64
            for end in (b"\n", b"\r\n"):
                assert await ask(endpoint.address, token + end + b"GET /") == b"heard GET /"
            wrong = [
                b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", token[:-1] + b"\n", token + b"0\n", token.upper() + b"x\n",
                b"\n" + token + b"\n", bytes(range(256)), "ä".encode() + b"\n", b"x" * (LIMIT + 10),
            ]  # fmt: skip
            for said in wrong:
                assert await ask(endpoint.address, said) == b""
            assert await ask(endpoint.address, token + b"\nstill there") == b"heard still there"

    asyncio.run(work())


def test_each_machine_has_a_token_and_a_port_of_its_own() -> None:
    async def work() -> None:
        one, first = await listen_with_token(echo)
        two, second = await listen_with_token(echo)
        async with one, two:
            assert first.token != second.token
            assert first.address != second.address
            assert await ask(second.address, first.token.encode() + b"\n") == b""

    asyncio.run(work())


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "TOKEN_DEADLINE_S", 0.01)

    async def work() -> None:
        server, endpoint = await listen_with_token(echo)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.address.rpartition(":")[2]))
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(work())


def test_a_taken_port_is_passed_over() -> None:
    """Ports are the system's choice: there is no number that somebody could have taken."""

    async def work() -> None:
        servers = [await listen_loopback(echo) for _ in range(3)]
        assert len({port for _, port in servers}) == 3
        for server, port in servers:
            assert [sock.getsockname()[0] for sock in server.sockets] == ["127.0.0.1"]  # type: ignore[attr-defined]
            assert await ask(f"127.0.0.1:{port}", b"x") == b"heard x"
            server.close()

    asyncio.run(work())


@posix
@pytest.mark.parametrize("kind", ["nothing", "file", "dead socket", "dangling link"])
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_socket_is_its_owners_alone_whatever_lay_there(tmp_path: Path, kind: str, umask: int) -> None:
    path = tmp_path / "docker.sock"
    if kind == "file":
        path.write_text("x")
    elif kind == "dead socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    elif kind == "dangling link":
        path.symlink_to("nowhere")

    async def work() -> None:
        server, endpoint = await listen(path, echo)
        async with server:
            assert endpoint == Endpoint("unix", str(path))
            assert path.stat().st_mode & 0o177 == 0
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"x")
            writer.write_eof()
            assert await reader.read() == b"heard x"
            writer.close()

    before = os.umask(umask)
    try:
        asyncio.run(work())
        assert os.umask(umask) == umask  # put back as it was
    finally:
        os.umask(before)


@posix
def test_a_place_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "full" / "x").mkdir(parents=True)
    with pytest.raises(OSError) as caught:
        asyncio.run(listen(tmp_path / "full", echo))
    assert "full" in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("unix", "/x/docker.sock"), "unix:///x/docker.sock"),
        (Endpoint("tcp", "127.0.0.1:2375", "secret"), "tcp://127.0.0.1:2375"),
    ],
)
def test_the_address_for_other_clients_has_no_token(endpoint: Endpoint, text: str) -> None:
    assert endpoint.to_docker_host() == text
