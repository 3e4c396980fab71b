"""The engines that `bench` measures: how each is started, spoken to, and weighed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import setup

from atoll.cli.target import parse_host
from atoll.client.engine import Engine
from atoll.config import host_architecture
from atoll.errors import HostError
from atoll.machine.images import image_directory

IMAGE = "atoll/base"
DEADLINE_S = 60
ATOLL = str(setup.venv_program("atoll"))


def clock(work: Callable[[], object]) -> float:
    """Milliseconds that the work takes."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def median(work: Callable[[], object], turns: int) -> float:
    """Median of several turns, after one that warms up."""
    work()
    return statistics.median(clock(work) for _ in range(turns))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it does not come true.
    """
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {DEADLINE_S} s in vain for {what}")
        time.sleep(0.01)


def quiet(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command that must succeed; its output is shown only when it does not."""
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")


class Subject:
    """An engine under measurement.

    Attributes:
        host: its address.
        command: a command line that runs a container to its end and removes it.
    """

    def __init__(self, name: str, host: str, command: list[str], env: dict[str, str] | None = None) -> None:
        self.name, self.host, self.command, self.env = name, host, command, env
        self.engine = Engine(parse_host(host))

    def run_by_command(self) -> None:
        """A container as the user starts it."""
        quiet(*self.command, IMAGE, "true", env=self.env)

    def create(self, *command: str) -> str:
        """A container without a network."""
        request: Any = {"Image": IMAGE, "Cmd": list(command), "HostConfig": {"NetworkMode": "none"}}
        return self.engine.containers.create(request)["Id"]

    def cycle(self) -> None:
        """Create, start, wait, remove, over a connection that is kept."""
        containers = self.engine.containers
        identity = self.create("true")
        containers.start(identity)
        containers.wait_begun(identity).result()
        containers.remove(identity)

    def execute(self, identity: str) -> None:
        """A command in a running container."""
        exec_id = self.engine.containers.create_exec(identity, {"Cmd": ["true"], "AttachStdout": True})
        stream = self.engine.execs.start(exec_id)
        while stream.recv():
            pass
        stream.close()

    def measure_exec(self, turns: int) -> float:
        """Median of an exec."""
        identity = self.create("sleep", "1000")
        self.engine.containers.start(identity)
        try:
            return median(lambda: self.execute(identity), turns)
        finally:
            self.engine.containers.remove(identity, force=True)

    @contextmanager
    def idle_containers(self, count: int) -> Iterator[None]:
        """Containers that sleep while the block runs."""
        identities = [self.create("sleep", "1000") for _ in range(count)]
        try:
            for identity in identities:
                self.engine.containers.start(identity)
            yield
        finally:
            for identity in identities:
                self.engine.containers.remove(identity, force=True)


@contextmanager
def native_engine(scratch: Path) -> Iterator[tuple[Subject, int]]:
    """Atoll's engine straight on this host."""
    socket = scratch / "native.sock"
    command = [sys.executable, "-m", "atoll_agent", "--native", "--data-root", str(scratch / "native")]
    command += ["--socket", str(socket), "--bridge", "atoll-bench"]
    with _daemon(command, socket, scratch / "native.log") as pid:
        host = f"unix://{socket}"
        line = [ATOLL, "run", "--rm", "--network", "none"]
        subject = Subject("atoll native", host, line, {**os.environ, "ATOLL_HOST": host})
        load_base(subject)
        yield subject, pid


@contextmanager
def docker_engine(scratch: Path) -> Iterator[tuple[Subject, int]]:
    """A dockerd of our own, apart from one that may run already."""
    socket = scratch / "docker.sock"
    command = ["dockerd", "--data-root", str(scratch / "docker"), "--exec-root", str(scratch / "docker-exec")]
    command += ["-H", f"unix://{socket}", "-p", str(scratch / "docker.pid"), "--iptables=false", "--bridge=none"]
    with _daemon(command, socket, scratch / "docker.log") as pid:
        host = f"unix://{socket}"
        subject = Subject("dockerd", host, ["docker", "-H", host, "run", "--rm", "--network", "none"])
        load_base(subject)
        yield subject, pid


@contextmanager
def _daemon(command: list[str], socket: Path, log: Path) -> Iterator[int]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or _answers(socket), f"{command[0]} to answer")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {log.read_text(errors='replace')[-2000:]}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _answers(socket: Path) -> bool:
    try:
        return bool(Engine(parse_host(f"unix://{socket}")).system.ping())
    except HostError:
        return False


@cache
def machine_image() -> Path:
    """The image's directory; asked for once, since its name follows the sources it is built by."""
    return image_directory(host_architecture())


def base_archive() -> Path:
    """The image that all of them run."""
    return machine_image() / "base.tar"


def load_base(subject: Subject) -> None:
    """Give an engine the image."""
    with base_archive().open("rb") as file:
        for _ in subject.engine.images.load(iter(lambda: file.read(1 << 20), b"")):
            pass
