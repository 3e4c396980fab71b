"""An SSH server on loopback that stands for a machine: a few commands, and files below a directory."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_SUCCESS

from atoll.ssh.client import connect
from atoll.ssh.keys import ensure_keys


class Files(paramiko.SFTPServerInterface):
    """The machine's files, below a directory of the test; `names` are what a machine gone bad lists everywhere."""

    def __init__(self, server: paramiko.ServerInterface, root: Path, names: list[str]) -> None:
        super().__init__(server)
        self.root, self.names = root, names

    def _real(self, path: str) -> Path:
        return self.root / self.canonicalize(path).lstrip("/")

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._real(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        found = []
        for entry in self._real(path).iterdir():
            found.append(paramiko.SFTPAttributes.from_stat(entry.stat(), entry.name))
        for name in self.names:
            found.append(paramiko.SFTPAttributes.from_stat(self.root.stat(), name))
        return found

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        try:
            self._real(path).mkdir()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        self.chattr(path, attr)
        return paramiko.SFTP_OK

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        if attr.st_mode is not None:
            self._real(path).chmod(attr.st_mode)
        return paramiko.SFTP_OK

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        try:
            file = os.fdopen(
                os.open(self._real(path), flags | getattr(os, "O_BINARY", 0), 0o666),
                "wb" if flags & os.O_WRONLY else "rb",
            )
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = handle.writefile = file  # type: ignore[attr-defined]
        return handle


class Transport(paramiko.Transport):
    """Tells when a request was answered: a command that ended before would seem to have been refused."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.answered = threading.Event()

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)
        if data.asbytes()[0] == MSG_CHANNEL_SUCCESS:
            self.answered.set()


class Connection(paramiko.ServerInterface):
    """One client of the server."""

    def __init__(self, machine: SshMachine) -> None:
        self.machine = machine

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        kind, text = self.machine.authorized.read_text().split()[:2]
        known = username == "root" and (key.get_name(), key.get_base64()) == (kind, text)
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_pty_request(
        self, channel: paramiko.Channel, term: bytes, width: int, height: int, *more: object
    ) -> bool:
        self.machine.sizes.append((width, height))
        return True

    def check_channel_window_change_request(
        self, channel: paramiko.Channel, width: int, height: int, *more: object
    ) -> bool:
        self.machine.sizes.append((width, height))
        channel.sendall(b"%dx%d" % (width, height))
        channel.send_exit_status(0)
        channel.close()
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self.machine.run(channel, "shell")

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self.machine.run(channel, command.decode())


class SshMachine:
    """A machine's SSH server, with the keys in a directory.

    Attributes:
        sizes: of terminals, as they were told.
        root: what its files are below.
        bad_names: directory entries that a machine gone bad lists beside its own.
    """

    def __init__(self, directory: Path, root: Path) -> None:
        ensure_keys(directory)
        self.root = root
        self.authorized = directory / "id_ed25519.pub"
        self.sizes: list[tuple[int, int]] = []
        self.bad_names: list[str] = []
        self.has_files = True
        self._key = paramiko.Ed25519Key.from_private_key_file(str(directory / "host_key"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._transports: list[Transport] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            client = self._listener.accept()[0]
            if self._listener.fileno() < 0 or not self._threads:
                client.close()
                return
            transport = Transport(client)
            self._transports.append(transport)
            transport.add_server_key(self._key)
            if self.has_files:
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files, self.root, self.bad_names)
            transport.start_server(event=threading.Event(), server=Connection(self))

    def run(self, channel: paramiko.Channel, command: str) -> bool:
        """Run a command in a thread of its own."""
        if command == "refuse":
            return False
        channel.get_transport().answered.clear()
        thread = threading.Thread(target=self._run, args=(channel, command))
        self._threads.append(thread)
        thread.start()
        return True

    def _run(self, channel: paramiko.Channel, command: str) -> None:
        channel.get_transport().answered.wait()
        word, *arguments = command.split()
        if word == "wait":
            return
        if word == "die":
            channel.sendall(b"half an ans")
            channel.get_transport().close()
            return
        if word == "cat":
            while data := channel.recv(4096):
                channel.sendall(data)
        if word == "both":
            for number in range(100):
                channel.sendall(b"o%d " % number)
                channel.sendall_stderr(b"e%d " % number)
        if word == "shell":
            channel.sendall(b"# ")
        channel.send_exit_status(int(arguments[0]) if arguments else 0)
        channel.close()

    def close_connections(self) -> None:
        """As when it loses its power."""
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        """End it."""
        threads, self._threads = self._threads, []
        socket.create_connection(("127.0.0.1", self.port)).close()  # accept does not notice a closed socket
        threads[0].join()
        self._listener.close()
        self.close_connections()
        for thread in threads[1:]:
            thread.join()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The machine's directory on the host."""
    path = tmp_path / "machine"
    path.mkdir()
    return path


@pytest.fixture
def machine(tmp_path: Path, directory: Path) -> Iterator[SshMachine]:
    """A machine that answers."""
    root = tmp_path / "root"
    root.mkdir()
    running = SshMachine(directory, root)
    yield running
    running.close()


@pytest.fixture
def client(machine: SshMachine, directory: Path) -> Iterator[paramiko.SSHClient]:
    """A connection to it."""
    with connect(directory, machine.port) as connected:
        yield connected
