"""What a stream of the machine's channel can be: the API, SSH, the table of published ports, or a way to an address."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable

from ..runtime.relay import join_datagrams, join_streams
from .listen import Server

SSH_DIRECTORY = "/run/atoll/ssh"


class Services:
    """Gives each stream to the service that it names.

    Arguments:
        server: of the API.
        ports: talks with the host about published ports until its stream ends.
    """

    def __init__(self, server: Server, ports: Callable[[socket.socket], None]) -> None:
        self._server, self._ports = server, ports

    def start(self, service: str, sock: socket.socket) -> None:
        """Give a stream to a service; the socket is the service's from now on.

        Raises:
            OSError: it could not be started.
            ValueError: unknown, or a malformed address.
        """
        kind, _, rest = service.partition(":")
        if service == "api":
            self._server.serve(sock)
        elif service == "ssh":
            _start_ssh(sock)
        elif service == "ports":
            _in_thread(self._ports, sock)
        elif kind == "tcp":
            _in_thread(join_streams, sock, parse_address(rest))
        elif kind == "udp":
            _in_thread(join_datagrams, sock, parse_address(rest))
        else:
            raise ValueError("unknown service")


def parse_address(text: str) -> tuple[str, int]:
    """`10.0.0.1:80` or `[fd00::1]:80`.

    Raises:
        ValueError: neither.
    """
    host, _, port = text.rpartition(":")
    number = int(port)
    if not host or not 0 < number < 65536:
        raise ValueError(f"malformed address {text[:60]!r}")
    return host.removeprefix("[").removesuffix("]"), number


def _in_thread(work: Callable[..., object], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def _start_ssh(sock: socket.socket) -> None:
    command = ["/usr/sbin/dropbear", "-i", "-E", "-s", "-r", f"{SSH_DIRECTORY}/host_key", "-D", SSH_DIRECTORY]
    end = sock.fileno()
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.DEVNULL, start_new_session=True)
    sock.close()
    _in_thread(process.wait)
