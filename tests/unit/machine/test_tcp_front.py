"""The API on a TCP port: certificates, TLS whose directions end one by one, and who is kept out."""

from __future__ import annotations

import socket
import ssl
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.machine.certificates import NAMES, ensure_certificates, make_certificates, server_context
from atoll.machine.endpoint import Endpoint
from atoll.machine.tcp_front import TcpFront


@pytest.fixture
def echo() -> Iterator[Endpoint]:
    """An engine that answers with what it was told, once it has been told all."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            with sock:
                said = b""
                while data := sock.recv(65536):
                    said += data
                sock.sendall(said)

    threading.Thread(target=serve, daemon=True).start()
    yield Endpoint("tcp", f"127.0.0.1:{server.getsockname()[1]}")
    server.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return ensure_certificates(tmp_path / "tls", "default", "127.0.0.1")


def client_context(directory: Path, *, certificate: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    if certificate:
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


class Client:
    """A TLS client that can say that it has no more to send, which Python's own sockets cannot without waiting."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._work(self._tls.do_handshake)

    def _work(self, step: object) -> object:
        assert callable(step)
        while True:
            try:
                result = step()
                self.sock.sendall(self._outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                data = self.sock.recv(65536)
                self._incoming.write(data) if data else self._incoming.write_eof()

    def send(self, data: bytes) -> None:
        self._work(lambda: self._tls.write(data))

    def end(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()  # sends close_notify, then would wait for the other's
        self.sock.sendall(self._outgoing.read())

    def rest(self) -> bytes:
        found = b""
        while data := self.sock.recv(65536):
            self._incoming.write(data)
        self._incoming.write_eof()
        try:
            while data := self._tls.read(65536):
                found += data
        except ssl.SSLZeroReturnError:
            pass
        return found


@pytest.mark.parametrize("size", [1, 1000, 300_000])
def test_output_goes_on_after_the_input_has_ended(echo: Endpoint, certificates: Path, size: int) -> None:
    front = TcpFront(echo, "127.0.0.1", 0, server_context(certificates))
    try:
        client = Client(front.port, client_context(certificates))
        with client.sock:
            client.send(b"x" * size)
            client.end()
            assert client.rest() == b"x" * size
    finally:
        front.close()


def test_nobody_comes_in_without_the_clients_certificate(echo: Endpoint, certificates: Path, tmp_path: Path) -> None:
    front = TcpFront(echo, "127.0.0.1", 0, server_context(certificates))
    other = ensure_certificates(tmp_path / "other", "default", "127.0.0.1")
    stranger = client_context(certificates, certificate=False)
    stranger.load_cert_chain(other / "cert.pem", other / "key.pem")
    try:
        for context in (client_context(certificates, certificate=False), stranger):
            with (
                socket.create_connection(("127.0.0.1", front.port), 10) as sock,
                pytest.raises((ssl.SSLError, OSError)),
                context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
            ):  # TLS 1.3 tells at the first read
                tls.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
                if not tls.recv(100):
                    raise ssl.SSLError("closed")
        with socket.create_connection(("127.0.0.1", front.port), 10) as plain:
            plain.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP")
    finally:
        front.close()


def test_without_tls(echo: Endpoint) -> None:
    front = TcpFront(echo, "127.0.0.1", 0, None)
    try:
        with socket.create_connection(("127.0.0.1", front.port), 10) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b"hello"
            assert sock.recv(100) == b""
    finally:
        front.close()


def test_certificates_are_the_owners_and_are_kept(certificates: Path) -> None:
    before = {name: (certificates / name).read_bytes() for name in NAMES}
    if sys.platform != "win32":
        assert {stat.S_IMODE((certificates / name).stat().st_mode) for name in NAMES} == {0o600}
    ensure_certificates(certificates, "default", "127.0.0.1")
    assert {name: (certificates / name).read_bytes() for name in NAMES} == before
    ensure_certificates(certificates, "default", "machine.example")
    assert (certificates / "ca.pem").read_bytes() != before["ca.pem"]
    (certificates / "server-cert.pem").write_bytes(b"damaged")
    ensure_certificates(certificates, "default", "machine.example")
    server_context(certificates)


def test_each_set_is_its_own() -> None:
    assert make_certificates("a", "127.0.0.1")["ca.pem"] != make_certificates("a", "127.0.0.1")["ca.pem"]
