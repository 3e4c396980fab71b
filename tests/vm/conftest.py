"""Machines that really boot, each in a home directory of its own.

Three stages of a machine's life to choose from:

    home        nothing there yet; what the test makes in it is ended and removed after the test
    machine     a running default machine, one per worker; make your own containers, remove them, leave it running
    fresh       in the modules that mistreat machines: a running one of their own

`ATOLL_HOME` is a temporary directory; only the image and what is derived from it (the unpacked kernel, the compiled
agent) are those of the computer.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from atoll.client.engine import Engine
from atoll.config import host_architecture
from atoll.errors import HostError
from atoll.machine.images import agent_archive, direct_kernel, ensure_image
from atoll.machine.store import KeeperState, Machine
from atoll.paths import cache_directory
from atoll.qemu.binary import find_qemu
from atoll.system.locks import FileLock
from atoll.system.processes import end, is_alive

BASE = "atoll/base"
DEADLINE_S = 120.0
DERIVED = ("agents", "kernels")
KILL_AGENT = """
for pid in $(cat /proc/1/task/1/children); do
    if grep -q atoll_agent /proc/$pid/cmdline; then kill -9 $pid; fi
done
"""
SMALL = ("--accel", "tcg", "--cpus", "1", "--memory", "512m", "--disk", "8g")
"""Settings of a machine that boots quickly: no time is lost to proving an accelerator, and two run side by side."""

_homes: list[Home] = []


def _obstacle() -> str:
    """Why no machine can boot here; "" when one can."""
    try:
        find_qemu(host_architecture())
    except HostError as error:
        return error.message
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs QEMU."""
    here = Path(__file__).parent
    own = [item for item in items if here in item.path.parents]
    obstacle = _obstacle() if own else ""
    for item in own:
        item.add_marker(pytest.mark.vm)
        if obstacle:
            item.add_marker(pytest.mark.skip(reason=obstacle))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that failed shows what its machines said last."""
    report: Any = yield
    if report.failed:
        for home in _homes:
            report.sections += [section for name in home.machines() for section in home.last_words(name)]
    return report


class Home:
    """An `ATOLL_HOME` and the command line that uses it.

    Arguments:
        directory: made here.
        image: the image its machines boot from.
        cache: a cache directory with what is derived from the image.
    """

    def __init__(self, directory: Path, image: Path, cache: Path) -> None:
        self.directory = directory
        directory.mkdir()
        (directory / "cache").mkdir()
        for name in DERIVED:
            _borrow(cache / name, directory / "cache" / name)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATOLL_", "DOCKER_"))}
        self.env: Mapping[str, str] = {**kept, "ATOLL_HOME": str(directory), "ATOLL_IMAGE_DIR": str(image)}

    def __call__(
        self, *args: str, stdin: bytes = b"", code: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `atoll` to its end and check its exit code (None: any)."""
        done = subprocess.run(
            self.command(*args), input=stdin, capture_output=True, timeout=DEADLINE_S, env={**self.env, **env}
        )
        if code is not None:
            assert done.returncode == code, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done

    def out(self, *args: str, stdin: bytes = b"", code: int | None = 0) -> str:
        """Run `atoll` and return what it printed."""
        return self(*args, stdin=stdin, code=code).stdout.decode().strip()

    def json(self, *args: str) -> Any:
        """Run `atoll` and return the JSON it printed."""
        return json.loads(self.out(*args))

    def command(self, *args: str) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-c", "from atoll.cli import main; main()", *args]

    @contextmanager
    def start(self, *args: str, stdin: int = subprocess.DEVNULL) -> Iterator[Command]:
        """Start `atoll`; it is killed if it still runs at the end of the block."""
        process = subprocess.Popen(
            self.command(*args), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env
        )
        command = Command(process)
        try:
            yield command
        finally:
            command.close()

    # -- machines ----------------------------------------------------------------------------

    def machine(self, name: str = "default") -> Machine:
        """A machine as its directory tells."""
        return Machine(self.directory / "machines" / name)

    def machines(self) -> list[str]:
        """Names of the machines."""
        return sorted(path.parent.name for path in self.directory.glob("machines/[a-z0-9]*/machine.json"))

    def state(self, name: str = "default") -> KeeperState:
        """What the keeper of a running machine tells."""
        state = self.machine(name).read_state()
        assert state, f"machine {name} is stopped"
        return state

    def engine(self, name: str = "default") -> Engine:
        """A client of a running machine's engine, for requests that no command makes; close it."""
        endpoint = self.machine(name).endpoint()
        assert endpoint, f"machine {name} is stopped"
        return Engine(endpoint)

    def inspect(self, container: str, *machine: str) -> Any:
        """What the engine tells of a container."""
        return self.json(*machine, "inspect", container)[0]

    def inside(self, container: str, *command: str) -> str:
        """Run a command in a running container and return what it printed."""
        return self.out("exec", container, *command)

    def kill_agent(self, *before: str) -> None:
        """End the default machine's agent without warning, after other commands; SSH goes through it and ends, too."""

        def deaths() -> int:
            return self.out("machine", "logs").count("the agent ended with status 9")

        known = deaths()
        self("machine", "ssh", "default", "; ".join([*before, KILL_AGENT]), code=None)
        wait_for(lambda: deaths() > known, "the agent's death")
        wait_for(lambda: self("ps", code=None).returncode == 0, "the engine to answer again")

    def last_words(self, name: str) -> list[tuple[str, str]]:
        """(title, text) of a machine's logs, for the report of a failed test."""
        found = []
        for log in ("console.log", "keeper.log"):
            path = self.machine(name).file(log)
            if path.exists() and (said := path.read_bytes()[-4000:]):
                found.append((f"{name}: {log}", said.decode("utf-8", "replace")))
        return found

    def processes(self) -> list[int]:
        """Keepers and QEMUs of this home, by their command lines."""
        return [pid for pid, line in list_command_lines() if f"{self.directory}{os.sep}machines" in line]

    def close(self) -> None:
        """Remove all machines; none of their processes may be left."""
        states = [state for name in self.machines() if (state := self.machine(name).read_state())]
        try:
            for name in self.machines():
                self("machine", "rm", "-f", name)
            left = [s for s in states if is_alive(s.pid, s.mark) or is_alive(s.qemu_pid, s.qemu_mark)]
            assert not left
            assert not self.processes()
            assert not self.machines()
        finally:
            for pid in self.processes():
                end(pid, force=True)
            shutil.rmtree(self.directory, ignore_errors=True)


class Command:
    """An `atoll` that runs; what it prints can be looked at meanwhile."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._output = {"stdout": b"", "stderr": b""}
        self._threads = [
            threading.Thread(target=self._read, args=(name, getattr(process, name)), daemon=True)
            for name in self._output
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            while data := os.read(stream.fileno(), 65536):
                self._output[name] += data

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return self._output["stdout"].decode()

    @property
    def stderr(self) -> str:
        """What it said so far."""
        return self._output["stderr"].decode()

    def wait(self) -> int:
        """Wait until it ends and all it printed is here; returns its exit code."""
        code = self.process.wait(DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        return code

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.wait()
        if self.process.stdin:
            self.process.stdin.close()


def _borrow(source: Path, target: Path) -> None:
    """Have another directory's files here, too."""
    try:
        target.symlink_to(source, target_is_directory=True)
    except OSError:  # not every user of Windows may
        shutil.copytree(source, target)


def list_command_lines() -> list[tuple[int, str]]:
    """(process id, command line) of every process; nothing on Windows, which has no ready way."""
    found = []
    if sys.platform == "linux":
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes()
            except OSError:
                continue  # it has ended
            found.append((int(path.parent.name), line.replace(b"\0", b" ").decode("utf-8", "replace")))
    elif sys.platform != "win32":
        listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            found.append((int(pid), command))
    return found


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait until the condition holds and return its value."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {deadline_s:.0f} s in vain for {what}")
        time.sleep(0.05)
    return value


@pytest.fixture(scope="session")
def make_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Home]:
    """Makes homes whose machines boot at once: image built, kernel unpacked, agent compiled."""
    arch, cache = host_architecture(), cache_directory()
    image = ensure_image(arch, lambda text: None)
    with FileLock(cache / ".vm-tests.lock"):  # workers begin at the same time
        direct_kernel(image, arch)
        agent_archive(image, arch, lambda text: None)
    for name in DERIVED:
        (cache / name).mkdir(exist_ok=True)
    return lambda: Home(tmp_path_factory.mktemp("h") / "atoll", image, cache)


@contextmanager
def kept(home: Home) -> Iterator[Home]:
    """A home that is cleared away at the end."""
    _homes.append(home)
    try:
        yield home
    finally:
        _homes.remove(home)
        home.close()


@pytest.fixture
def home(make_home: Callable[[], Home]) -> Iterator[Home]:
    """An empty home."""
    with kept(make_home()) as home:
        yield home


@pytest.fixture(scope="session")
def machine(make_home: Callable[[], Home]) -> Iterator[Home]:
    """A home whose default machine runs, shared by a worker's tests."""
    with kept(make_home()) as home:
        home("machine", "create", *SMALL)
        home("machine", "start")
        yield home
        assert home.machine().status == "running", "a test has stopped the machine that others use, too"


@pytest.fixture(scope="module")
def fresh(make_home: Callable[[], Home]) -> Iterator[Home]:
    """A home whose default machine runs, shared by a module's tests, which may mistreat it: `atoll` recovers it."""
    with kept(make_home()) as home:
        home("machine", "create", *SMALL)
        home("machine", "start")
        yield home


@pytest.fixture
def name() -> str:
    """A name nobody else has."""
    return f"vm-{secrets.token_hex(4)}"


@pytest.fixture
def neighbour(machine: Home) -> Iterator[str]:
    """A container that has nothing to do with the test and must still run when it ends."""
    chosen = f"neighbour-{secrets.token_hex(4)}"
    machine("run", "-d", "--name", chosen, "--network", "none", BASE, "sleep", "1000")
    yield chosen
    state = machine.inspect(chosen)["State"]
    machine("rm", "-f", chosen)
    assert state["Status"] == "running", state
