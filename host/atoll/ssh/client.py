"""SSH into a machine with paramiko: its host key pinned, its owner's key, nothing else."""

from __future__ import annotations

import base64
import logging
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import paramiko

from ..errors import AgentUnreachable, ConfigError, HostError, ProtocolError
from .keys import HOST_KEY, USER_KEY

CONNECT_S = 60.0
READ = 32 * 1024

# It tells every broken connection with a traceback; where nobody listens, that would go to the user's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def connect(directory: Path, port: int) -> paramiko.SSHClient:
    """Connect to the machine in a directory through its keeper's loopback port.

    Raises:
        ConfigError: its keys are missing or damaged.
        AgentUnreachable: nobody answers.
        ProtocolError: it is not the machine whose key is pinned.
    """
    host_key, user_key = _load_keys(directory)
    client = paramiko.SSHClient()
    client.get_host_keys().add(f"[127.0.0.1]:{port}", host_key.get_name(), host_key)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.connect(
            "127.0.0.1", port, username="root", pkey=user_key, allow_agent=False, look_for_keys=False,
            timeout=CONNECT_S, banner_timeout=CONNECT_S, auth_timeout=CONNECT_S,
        )  # fmt: skip
    except paramiko.BadHostKeyException as error:
        client.close()
        raise ProtocolError(
            "what answers is not this machine: its SSH host key differs", "restart the machine"
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        raise AgentUnreachable(f"the machine does not answer on SSH: {error}", "see `atoll machine logs`") from error
    return client


def _load_keys(directory: Path) -> tuple[paramiko.PKey, paramiko.PKey]:
    """The machine's public key, and its owner's private one."""
    path = directory / f"{HOST_KEY}.pub"
    try:
        kind, key, *_ = path.read_text().split()
        host_key = paramiko.PKey.from_type_string(kind, base64.b64decode(key))
        path = directory / USER_KEY
        return host_key, paramiko.Ed25519Key.from_private_key_file(str(path))
    except Exception as error:  # paramiko has no one word for a damaged key
        raise ConfigError(
            f"cannot read the key {path}: {error}", "remove it and restart the machine to have a new one made"
        ) from error


class RemoteCommand:
    """A command (or a shell) in the machine.

    Arguments:
        command: "" for a login shell.
        terminal: (columns, rows) of a terminal to give it; None for none.

    Raises:
        ProtocolError: the connection has gone, or the machine refuses.
    """

    def __init__(self, client: paramiko.SSHClient, command: str, terminal: tuple[int, int] | None) -> None:
        transport = client.get_transport()
        if transport is None:
            raise ProtocolError("the SSH connection is closed")
        try:
            self._channel = transport.open_session()
            if terminal:
                self._channel.get_pty("xterm-256color", *terminal)
            if command:
                self._channel.exec_command(command)
            else:
                self._channel.invoke_shell()
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise ProtocolError(f"the machine refuses to start a command: {str(error) or 'it has gone'}") from error

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""
        self._channel.resize_pty(columns, rows)

    def run(self, stdin: IO[bytes], write: Callable[[bytes, bool], None]) -> int:
        """Carry bytes both ways until it ends; returns its exit code.

        Arguments:
            stdin: unbuffered input.
            write: called with (bytes, whether they are from stderr).
        """
        threading.Thread(target=self._send, args=(stdin,), daemon=True).start()
        errors = threading.Thread(target=self._read, args=(self._channel.recv_stderr, True, write), daemon=True)
        errors.start()
        self._read(self._channel.recv, False, write)
        errors.join()
        return self._channel.recv_exit_status()

    def _send(self, stdin: IO[bytes]) -> None:
        try:
            while data := stdin.read(READ):
                self._channel.sendall(data)
            self._channel.shutdown_write()
        except (OSError, EOFError, paramiko.SSHException):
            return  # it ended first

    @staticmethod
    def _read(receive: Callable[[int], bytes], error: bool, write: Callable[[bytes, bool], None]) -> None:
        while data := receive(READ):
            write(data, error)


def copy_in(client: paramiko.SSHClient, source: Path, target: str) -> None:
    """Copy a file or a tree of the host into the machine.

    Raises:
        HostError: the machine refuses.
    """
    with _copying(source, target), client.open_sftp() as sftp:
        into = PurePosixPath(target) / source.resolve().name
        _put(sftp, source, str(into) if _is_directory(sftp, target) else target)


@contextmanager
def _copying(source: object, target: object) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, paramiko.SSHException, paramiko.SFTPError) as error:
        raise HostError(f"cannot copy {source} to {target}: {error}") from error


def _put(sftp: paramiko.SFTPClient, source: Path, target: str) -> None:
    if not source.is_dir():
        sftp.put(str(source), target)
        sftp.chmod(target, source.stat().st_mode & 0o777)
        return
    if not _is_directory(sftp, target):
        sftp.mkdir(target, source.stat().st_mode & 0o777)
    for entry in sorted(source.iterdir()):
        _put(sftp, entry, f"{target}/{entry.name}")


def copy_out(client: paramiko.SSHClient, source: str, target: Path) -> None:
    """Copy a file or a tree of the machine to the host.

    Raises:
        HostError: it is not there, or cannot be written.
    """
    with _copying(source, target), client.open_sftp() as sftp:
        _get(sftp, source, target / PurePosixPath(source).name if target.is_dir() else target)


def _get(sftp: paramiko.SFTPClient, source: str, target: Path) -> None:
    if not _is_directory(sftp, source):
        mode = sftp.stat(source).st_mode or 0o644  # first: a file that is not there must not empty the one that is here
        sftp.get(source, str(target))
        target.chmod(mode & 0o777)
        return
    target.mkdir(exist_ok=True)
    for entry in sorted(sftp.listdir(source)):
        # Names come from the machine: one with a separator in it must not lead out of the target.
        if PurePosixPath(entry).name == entry and Path(entry).name == entry and entry not in ("", ".", ".."):
            _get(sftp, f"{source}/{entry}", target / entry)


def _is_directory(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        return stat.S_ISDIR(sftp.stat(path).st_mode or 0)
    except FileNotFoundError:
        return False
