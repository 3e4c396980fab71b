"""Our own command line against the engine, as processes: what a shell script and a person at a terminal get."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import secrets
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..kernel.conftest import Engine
from .conftest import DEADLINE_S

IMAGE = "atoll/base"
RUN = ("run", "--rm", "--network", "none")


class Atoll:
    """Runs `atoll` against an engine."""

    def __init__(self, host: str) -> None:
        self.env = {**os.environ, "ATOLL_HOST": host}
        self.command = [sys.executable, "-c", "from atoll.cli import main; main()"]

    def __call__(self, *args: str, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run a command and check its exit code."""
        result = subprocess.run(
            [*self.command, *args], input=stdin, capture_output=True, timeout=DEADLINE_S, env=self.env
        )
        assert result.returncode == code, (args, result.returncode, result.stdout, result.stderr)
        return result

    def out(self, *args: str, stdin: bytes = b"") -> str:
        """Run a command and return its output."""
        return self(*args, stdin=stdin).stdout.decode().strip()

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a command whose output is read while it runs."""
        return subprocess.Popen(
            [*self.command, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env,
        )


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, atoll: Atoll, *args: str, rows: int = 30, columns: int = 99) -> None:
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            [*atoll.command, *args],
            stdin=slave, stdout=slave, stderr=slave, env=atoll.env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self._seen = b""

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the terminal sends SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def wait_for_text(self, text: str) -> str:
        """Read until the text has appeared; what is behind it is kept for the next call."""
        deadline = time.monotonic() + DEADLINE_S
        while text.encode() not in self._seen:
            assert select.select([self._master], [], [], max(0, deadline - time.monotonic()))[0], (text, self._seen)
            try:
                data = os.read(self._master, 4096)
            except OSError:  # Linux's way to say that the other side is closed
                data = b""
            assert data, (text, self._seen)
            self._seen += data
        before, _, self._seen = self._seen.partition(text.encode())
        return before.decode(errors="replace")

    def wait(self) -> int:
        """Exit code, once it has ended; drains the terminal so that nothing blocks."""
        while True:
            try:
                if not os.read(self._master, 4096):
                    break
            except OSError:
                break
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Close the terminal and end what still runs in it."""
        self.process.kill()
        self.process.wait(DEADLINE_S)
        os.close(self._master)


OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def atoll(engine_host: str) -> Atoll:
    """The command line, speaking to the engine."""
    return Atoll(engine_host)


@pytest.fixture
def open_terminal(atoll: Atoll) -> Iterator[OpenTerminal]:
    """Starts commands in terminals of their own."""
    with contextlib.ExitStack() as stack:

        def start(*args: str, **size: int) -> Terminal:
            made = Terminal(atoll, *args, **size)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def name(atoll: Atoll) -> Iterator[str]:
    """Name of a container, gone after the test."""
    chosen = f"contract-{secrets.token_hex(4)}"
    yield chosen
    atoll("rm", "-f", chosen)


def test_run_passes_streams_and_exit_code(atoll: Atoll) -> None:
    result = atoll(*RUN, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")


def test_stdin_is_passed_whole_and_closed(atoll: Atoll) -> None:
    data = bytes(range(256)) * 8192
    assert atoll(*RUN, "-i", IMAGE, "cat", stdin=data).stdout == data


@pytest.mark.parametrize(("command", "code"), [("nosuch", 127), ("/etc/passwd", 126)])
def test_command_that_cannot_run(atoll: Atoll, command: str, code: int) -> None:
    result = atoll(*RUN, IMAGE, command, code=code)
    assert result.stderr.startswith(b"error: ")
    assert result.stdout == b""


def test_image_that_is_not_there(atoll: Atoll) -> None:
    result = atoll(*RUN, "no/such:image", code=125)
    assert b"unable to find image 'no/such:image' locally\nhint: load it with `atoll load" in result.stderr


def test_life_of_a_container(atoll: Atoll, name: str, tmp_path: Path) -> None:
    cidfile = tmp_path / "cid"
    identity = atoll.out(
        "run", "-d", "--network", "none", "--name", name, "--cidfile", str(cidfile), "-l", "a=b", IMAGE, "sleep", "1000"
    )
    assert cidfile.read_text() == identity
    row = json.loads(atoll.out("ps", "--filter", f"name={name}", "--format", "json"))
    assert (row["ID"], row["Names"], row["State"], row["Labels"]) == (identity[:12], name, "running", "a=b")
    assert name in atoll.out("ps", "--filter", f"name={name}").splitlines()[1]
    assert atoll.out("inspect", "-f", "{{.State.Running}} {{json .Config.Labels}}", name) == 'true {"a":"b"}'
    assert atoll.out("exec", "-e", "B=2", name, "sh", "-c", "echo $B") == "2"
    atoll("exec", name, "sh", "-c", "exit 9", code=9)
    assert atoll("exec", "-i", name, "cat", stdin=b"piped").stdout == b"piped"
    assert atoll.out("stop", "-t", "0", name) == name
    assert atoll.out("wait", name) == "137"
    atoll("attach", name, code=1)
    atoll("run", "--cidfile", str(cidfile), IMAGE, "true", code=125)


def test_one_error_does_not_keep_the_others_from_their_turn(atoll: Atoll, name: str) -> None:
    atoll("create", "--name", name, IMAGE, "true")
    result = atoll("rm", "nosuch-1", name, "nosuch-2", code=1)
    assert result.stdout.decode().split() == [name]
    assert result.stderr.count(b"error: ") == 2


def test_create_then_start_attached(atoll: Atoll, name: str) -> None:
    atoll("create", "--network", "none", "-i", "--name", name, IMAGE, "sh", "-c", "cat; exit 5")
    assert atoll("start", "-a", "-i", name, stdin=b"hello", code=5).stdout == b"hello"
    assert atoll.out("logs", name) == "hello"
    assert atoll.out("logs", "-t", "--tail", "1", name).endswith("Z hello")


def test_reader_that_leaves_early(atoll: Atoll, name: str) -> None:
    atoll("run", "--network", "none", "--name", name, IMAGE, "seq", "1", "100000")
    with atoll.start("logs", name) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"1\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(DEADLINE_S) == 1


@pytest.mark.parametrize("signal_name", ["TERM", "INT", "USR1"])
def test_signals_are_passed_on(atoll: Atoll, signal_name: str) -> None:
    script = f"trap 'echo got; exit 9' {signal_name}; echo ready; while :; do sleep 0.1; done"
    with atoll.start(*RUN, IMAGE, "sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(getattr(signal, f"SIG{signal_name}"))
        assert process.stdout.read() == b"got\n"
        assert process.wait(DEADLINE_S) == 9


def test_terminal_size_keys_and_exit_code(open_terminal: OpenTerminal) -> None:
    shell = open_terminal(*RUN, "-it", IMAGE, "sh", rows=30, columns=99)
    shell.wait_for_text("# ")
    for rows, columns in ((30, 99), (40, 120)):
        shell.resize(rows, columns)
        # Engines before API 1.42 learn of the first size only after the start.
        shell.type(f"until stty size | grep '{rows} {columns}'; do sleep 0.1; done; echo now''{rows}\r")
        shell.wait_for_text(f"now{rows}")
    shell.type("sh -c 'echo in\"\"side; exec sleep 1000'\r")
    shell.wait_for_text("inside")
    shell.type("\x03")  # goes to the container's shell, not to atoll
    shell.wait_for_text("# ")
    shell.type("exit 5\r")
    assert shell.wait() == 5


def test_detach_keys_leave_the_container_running(atoll: Atoll, open_terminal: OpenTerminal, name: str) -> None:
    shell = open_terminal("run", "-it", "--network", "none", "--name", name, IMAGE, "sh")
    shell.wait_for_text("# ")
    shell.type("\x10\x11")
    assert shell.wait() == 0
    assert atoll.out("inspect", "-f", "{{.State.Running}}", name) == "true"
    shell = open_terminal("attach", name)
    shell.type("echo typed''ahead; exit 6\r")
    shell.wait_for_text("typedahead")
    assert shell.wait() == 6


def test_terminal_is_wanted_but_there_is_none(atoll: Atoll) -> None:
    assert b"not a terminal" in atoll(*RUN, "-it", IMAGE, "sh", code=125).stderr


def test_exec_in_a_terminal(atoll: Atoll, open_terminal: OpenTerminal, name: str) -> None:
    atoll("run", "-d", "--network", "none", "--name", name, IMAGE, "sleep", "1000")
    shell = open_terminal("exec", "-it", name, "sh")
    shell.wait_for_text("# ")
    shell.type("tty; exit 4\r")
    shell.wait_for_text("/dev/pts/")
    assert shell.wait() == 4


def test_archive_loaded_from_a_file_and_from_stdin(atoll: Atoll, base_archive: Path) -> None:
    assert "atoll/base:latest" in atoll.out("load", "-i", str(base_archive))
    assert "atoll/base:latest" in atoll.out("load", stdin=base_archive.read_bytes())
    atoll("load", "-i", "/no/such/file", code=1)
    atoll("load", stdin=base_archive.read_bytes()[:1000], code=1)


def test_tag_list_and_remove_an_image(atoll: Atoll) -> None:
    atoll("tag", IMAGE, "contract/ours:v1")
    assert atoll.out("images", "--format", "{{.Repository}}:{{.Tag}}", "contract/ours") == "contract/ours:v1"
    assert "contract/ours:v1" in atoll.out("rmi", "contract/ours:v1")
    atoll("inspect", "--type", "image", "contract/ours:v1", code=1)


def test_events_version_and_info(atoll: Atoll, name: str) -> None:
    assert json.loads(atoll.out("version", "--format", "json"))["Server"]["Os"] == "linux"
    atoll("run", "--network", "none", "--name", name, IMAGE, "true")
    now = atoll.out("info", "--format", "{{.SystemTime}}")
    told = atoll.out(
        "events", "--since", "1m", "--until", now, "--filter", f"container={name}", "--format", "{{.Action}}"
    )
    assert [action for action in told.split() if action in ("create", "start", "die")] == ["create", "start", "die"]


@pytest.fixture
def mortal_engine(tmp_path: Path, base_archive: Path) -> Iterator[Engine]:
    """An engine that the test may kill."""
    engine = Engine(tmp_path, f"atc-{os.getpid()}"[:15])
    engine.start()
    engine.ok("POST", "/images/load", base_archive.read_bytes())
    yield engine
    with contextlib.suppress(ProcessLookupError):
        os.kill(engine.supervisor_pid, signal.SIGKILL)
    engine.stop()


@pytest.mark.skipif(bool(os.environ.get("ATOLL_TEST_HOST")), reason="kills its engine")
def test_engine_that_dies_in_the_middle_of_a_run(mortal_engine: Engine) -> None:
    atoll = Atoll(f"unix://{mortal_engine.socket}")
    with atoll.start(*RUN, IMAGE, "sh", "-c", "echo ready; exec sleep 1000") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"ready\n"
        agent = mortal_engine.agent_pid
        os.kill(mortal_engine.supervisor_pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, signal.SIGKILL)
        assert b"lost the engine while container" in process.stderr.read()
        assert process.wait(DEADLINE_S) == 125
