"""SSH into a machine: commands, copies, and everybody who is not that machine."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import paramiko
import pytest

from atoll.errors import AgentUnreachable, ConfigError, HostError, ProtocolError
from atoll.ssh.client import RemoteCommand, connect, copy_in, copy_out
from atoll.ssh.keys import ensure_keys


def run(client: paramiko.SSHClient, command: str, stdin: IO[bytes] | None = None) -> tuple[int, bytes, bytes]:
    """Run a command; its exit code, output and errors."""
    out, errors = [], []

    def write(data: bytes, error: bool) -> None:
        (errors if error else out).append(data)

    code = RemoteCommand(client, command, None).run(stdin or io.BytesIO(), write)
    return code, b"".join(out), b"".join(errors)


# -- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 125, 255])
def test_exit_code(client: paramiko.SSHClient, code: int) -> None:
    assert run(client, f"exit {code}") == (code, b"", b"")


def test_both_outputs(client: paramiko.SSHClient) -> None:
    code, out, errors = run(client, "both 3")
    assert code == 3
    assert out.split() == [b"o%d" % number for number in range(100)]
    assert errors.split() == [b"e%d" % number for number in range(100)]


def test_stdin_arrives_whole_and_ends(client: paramiko.SSHClient) -> None:
    data = os.urandom(300_000)
    assert run(client, "cat 7", io.BytesIO(data)) == (7, data, b"")


def test_a_command_that_ends_does_not_wait_for_its_stdin(client: paramiko.SSHClient) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stdin, os.fdopen(writing, "wb"):
        assert run(client, "exit 5", stdin)[0] == 5


def test_a_lost_connection_is_no_success(client: paramiko.SSHClient) -> None:
    code, out, _ = run(client, "die")
    assert code != 0
    assert out == b"half an ans"


@pytest.mark.parametrize("error", [EOFError(), OSError("Socket is closed"), paramiko.SSHException("no more")])
def test_input_that_nobody_takes_any_more_is_no_error(
    client: paramiko.SSHClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The library has several words for it; an error in the sending thread would be told with a traceback."""

    def fail(self: paramiko.Channel, data: bytes) -> None:
        raise error

    monkeypatch.setattr(paramiko.Channel, "sendall", fail)
    assert run(client, "exit 4", io.BytesIO(b"x"))[0] == 4


def test_a_shell_in_a_terminal_that_is_resized(client: paramiko.SSHClient, machine: Any) -> None:
    out: list[bytes] = []
    shell = RemoteCommand(client, "", (80, 24))
    assert shell.run(io.BytesIO(), lambda data, error: out.append(data)) == 0
    assert out == [b"# "]
    other = RemoteCommand(client, "wait", (80, 25))
    other.resize(132, 50)
    assert other.run(io.BytesIO(), lambda data, error: out.append(data)) == 0
    assert machine.sizes == [(80, 24), (80, 25), (132, 50)]
    assert out[-1] == b"132x50"


def test_a_closed_connection(client: paramiko.SSHClient) -> None:
    client.close()
    with pytest.raises(ProtocolError, match="closed"):
        RemoteCommand(client, "exit 0", None)


def test_a_machine_that_refuses(client: paramiko.SSHClient) -> None:
    with pytest.raises(ProtocolError, match="refuses"):
        RemoteCommand(client, "refuse", None)


def test_a_machine_that_went_away(client: paramiko.SSHClient, machine: Any) -> None:
    machine.close_connections()
    with pytest.raises(ProtocolError):
        RemoteCommand(client, "exit 0", None)


# -- who answers --------------------------------------------------------------------------------


def test_another_machine_is_refused(machine: Any, tmp_path: Path) -> None:
    """The right user's key, and a server that has another host key than the one pinned."""
    other = tmp_path / "other"
    shutil.copytree(machine.authorized.parent, other)
    (other / "host_key").unlink()
    ensure_keys(other)
    with pytest.raises(ProtocolError, match="its SSH host key differs") as caught:
        connect(other, machine.port)
    assert caught.value.hint


def test_a_stranger_is_not_let_in(machine: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(machine.authorized.parent, other)
    (other / "id_ed25519").unlink()
    ensure_keys(other)
    with pytest.raises(AgentUnreachable, match="does not answer on SSH: Authentication failed"):
        connect(other, machine.port)


def test_keys_of_the_users_own_are_not_tried(
    machine: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an agent's nor those in the home directory: too many wrong keys end a connection."""
    asked: list[str] = []
    monkeypatch.setattr(paramiko, "Agent", lambda: asked.append("agent"))
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(directory, tmp_path / ".ssh")
    (directory / "id_ed25519").unlink()
    authorized = machine.authorized.read_bytes()
    ensure_keys(directory)
    machine.authorized.write_bytes(authorized)  # the key in the home directory would open it
    with pytest.raises(AgentUnreachable):
        connect(directory, machine.port)
    assert asked == []


@contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Somebody on loopback who is no SSH server; yields the port."""

    def serve() -> None:
        with listener.accept()[0] as sock:
            talk(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_nobody_answers(directory: Path) -> None:
    ensure_keys(directory)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(AgentUnreachable, match="does not answer") as caught:
        connect(directory, port)
    assert "atoll machine logs" in caught.value.hint


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n\0\0\0\0", bytes(range(256))]
)
def test_something_else_answers(directory: Path, said: bytes) -> None:
    """The machine has gone, and its port is another program's now."""
    ensure_keys(directory)
    with answering(lambda sock: sock.sendall(said)) as port, pytest.raises(AgentUnreachable):
        connect(directory, port)


def test_nothing_but_the_error_is_said(directory: Path) -> None:
    """The library tells its failures with tracebacks to a log that goes to the terminal when nobody reads it."""
    ensure_keys(directory)
    script = (
        "import sys; from pathlib import Path\n"
        "from atoll.errors import HostError; from atoll.ssh.client import connect\n"
        "try: connect(Path(sys.argv[1]), int(sys.argv[2]))\n"
        "except HostError as error: print(error.message)"
    )
    with answering(lambda sock: sock.sendall(b"I am no SSH server\r\n" * 200)) as port:
        command = [sys.executable, "-c", script, str(directory), str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the machine does not answer on SSH")
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["host_key.pub", "id_ed25519"])
@pytest.mark.parametrize("content", [None, b"", b"noise", b"ssh-ed25519 ????", b"ssh-dss AAAA x", bytes(range(256))])
def test_damaged_keys_are_named(directory: Path, name: str, content: bytes | None) -> None:
    ensure_keys(directory)
    if content is None:
        (directory / name).unlink()
    else:
        (directory / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        connect(directory, 1)
    assert str(directory / name) in caught.value.message
    assert "remove it" in caught.value.hint


# -- copies -------------------------------------------------------------------------------------


def snapshot(root: Path) -> dict[str, bytes | None]:
    """A tree's files with their content, and its directories."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of the host."""
    top = tmp_path / "tree"
    (top / "empty").mkdir(parents=True)
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "with ä space").write_bytes(os.urandom(100_000))
    (top / "none").write_bytes(b"")
    return top


def test_a_tree_goes_in_and_comes_back(client: paramiko.SSHClient, machine: Any, tree: Path, tmp_path: Path) -> None:
    copy_in(client, tree, "/copy")
    assert snapshot(machine.root / "copy") == snapshot(tree)
    copy_out(client, "/copy", tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tree)


def test_a_file_goes_into_a_directory_under_its_name_or_where_it_is_told(
    client: paramiko.SSHClient, machine: Any, tree: Path, tmp_path: Path
) -> None:
    (machine.root / "etc").mkdir()
    copy_in(client, tree / "none", "/etc")
    copy_in(client, tree / "none", "/etc/other")
    assert snapshot(machine.root) == {"etc": None, "etc/none": b"", "etc/other": b""}
    copy_out(client, "/etc/none", tree / "empty")
    copy_out(client, "/etc/other", tree / "empty" / "third")
    assert set(snapshot(tree / "empty")) == {"none", "third"}


def test_a_tree_goes_into_a_directory_under_its_name(client: paramiko.SSHClient, machine: Any, tree: Path) -> None:
    (machine.root / "srv").mkdir()
    copy_in(client, tree, "/srv")
    copy_in(client, tree, "/srv")  # over what is there
    assert snapshot(machine.root / "srv" / "tree") == snapshot(tree)
    assert [path.name for path in (machine.root / "srv").iterdir()] == ["tree"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_modes_are_kept(client: paramiko.SSHClient, machine: Any, tmp_path: Path) -> None:
    source = tmp_path / "script"
    source.write_text("#!/bin/sh\n")
    source.chmod(0o750)
    copy_in(client, source, "/script")
    assert (machine.root / "script").stat().st_mode & 0o777 == 0o750
    copy_out(client, "/script", tmp_path / "back")
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(("source", "target"), [("nowhere", "/x"), ("tree/none", "/no/such/directory")])
def test_what_cannot_go_in(client: paramiko.SSHClient, tree: Path, source: str, target: str) -> None:
    with pytest.raises(HostError, match=f"cannot copy .* to {target}: "):
        copy_in(client, tree.parent / source, target)


def test_what_cannot_come_out(client: paramiko.SSHClient, machine: Any, tmp_path: Path) -> None:
    (machine.root / "f").write_bytes(b"x")
    for source, target in (("/nowhere", tmp_path / "x"), ("/f", tmp_path / "no" / "such")):
        with pytest.raises(HostError, match=f"cannot copy {source} to "):
            copy_out(client, source, target)


def test_a_full_disk_is_told(
    client: paramiko.SSHClient, machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.root / "f").write_bytes(b"x")

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paramiko.SFTPClient, "getfo", full)
    with pytest.raises(HostError, match="No space left"):
        copy_out(client, "/f", tmp_path / "x")


def test_names_of_a_machine_gone_bad_do_not_lead_out(client: paramiko.SSHClient, machine: Any, tmp_path: Path) -> None:
    (machine.root / "d").mkdir()
    (machine.root / "d" / "good").write_bytes(b"x")
    (machine.root / "evil").write_bytes(b"evil")
    machine.bad_names += ["../evil", "/evil", "x/../../evil", ".", "..", "", "/"]
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    copy_out(client, "/d", inner / "copy")
    assert snapshot(tmp_path / "a") == {"b": None, "b/copy": None, "b/copy/good": b"x"}


def test_a_machine_without_file_transfer(machine: Any, directory: Path, tree: Path, tmp_path: Path) -> None:
    machine.has_files = False
    with connect(directory, machine.port) as client:
        with pytest.raises(HostError, match="cannot copy"):
            copy_in(client, tree, "/x")
        with pytest.raises(HostError, match="cannot copy"):
            copy_out(client, "/x", tmp_path / "x")


def test_a_connection_lost_on_the_way(client: paramiko.SSHClient, tree: Path) -> None:
    transport = client.get_transport()
    assert transport
    transport.close()
    with pytest.raises(HostError, match="cannot copy"):
        copy_in(client, tree, "/x")
