"""A native engine per worker: the agent straight on this host, with a data root and a bridge of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

GUEST = Path(__file__).resolve().parents[2] / "guest_agent"
DEADLINE_S = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs root on Linux."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            if sys.platform != "linux" or os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root on Linux"))


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("atoll", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(self._path))


class Engine:
    """A running engine and a plain client for it."""

    def __init__(self, directory: Path, bridge: str) -> None:
        self.directory, self.socket, self.bridge = directory, directory / "docker.sock", bridge
        self.data_root = directory / "data"
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "atoll_agent", "--native", "--data-root", str(self.data_root)]
        command += ["--socket", str(self.socket), "--bridge", self.bridge]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": str(GUEST)}, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: self.socket.exists() and self.answers(), "the engine to answer")

    def stop(self) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    @property
    def supervisor_pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def agent_pid(self) -> int:
        for pid in Path(f"/proc/{self.supervisor_pid}/task/{self.supervisor_pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a container's, which has just ended
                if b"atoll_agent" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        raise LookupError("no agent")

    def answers(self) -> bool:
        try:
            return self.call("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, /, body: Any = None, **query: Any) -> tuple[int, Any]:
        connection = _Connection(self.socket)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(
                method, f"{path}?{urlencode(query, doseq=True)}", data, {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text) if text else None
        except ValueError:
            return answer.status, text

    def ok(self, method: str, path: str, /, body: Any = None, **query: Any) -> Any:
        status, value = self.call(method, path, body, **query)
        assert status < 300, (status, value)
        return value

    def create(self, *command: str, name: str = "", host: dict[str, Any] | None = None, **config: Any) -> str:
        body = {
            "Image": "atoll/base",
            "Cmd": list(command),
            "HostConfig": {"NetworkMode": "none", **(host or {})},
            **config,
        }
        identifier: str = self.ok("POST", "/containers/create", body, name=name)["Id"]
        return identifier

    def run(self, *command: str, host: dict[str, Any] | None = None, **config: Any) -> tuple[int, str]:
        """Run to the end; exit code and output."""
        container = self.create(*command, host=host, **config)
        self.ok("POST", f"/containers/{container}/start")
        code = self.ok("POST", f"/containers/{container}/wait")["StatusCode"]
        output = self.output(container)
        self.ok("DELETE", f"/containers/{container}")
        return code, output

    def output(self, container: str) -> str:
        """Both streams of its log."""
        raw = self.ok("GET", f"/containers/{container}/logs", stdout=1, stderr=1) or b""
        if not isinstance(raw, bytes):
            raw = json.dumps(raw).encode()
        out, at = [], 0
        while at < len(raw):
            size = int.from_bytes(raw[at + 4 : at + 8], "big")
            out.append(raw[at + 8 : at + 8 + size])
            at += 8 + size
        return b"".join(out).decode()

    def running(self, *command: str, host: dict[str, Any] | None = None, **config: Any) -> str:
        """Start and leave running."""
        container = self.create(*command, host=host, **config)
        self.ok("POST", f"/containers/{container}/start")
        return container

    def execute(self, container: str, *command: str, **options: Any) -> tuple[int, str]:
        """Exec to the end; exit code and output."""
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **options}
        exec_id = self.ok("POST", f"/containers/{container}/exec", body)["Id"]
        sock = self.hijack(f"/exec/{exec_id}/start", {"Detach": False})
        output = demultiplex(read_to_end(sock))
        details = self.ok("GET", f"/exec/{exec_id}/json")  # known as soon as the stream has ended
        assert (details["Running"], type(details["ExitCode"])) == (False, int), details
        return details["ExitCode"], output

    def hijack(self, path: str, body: Any = None) -> socket.socket:
        """POST with an upgrade; the raw connection behind the answer's head."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(self.socket))
            data = json.dumps(body or {}).encode()
            sock.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                + data
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = sock.recv(1)
                assert piece, head
                head += piece
            assert head.startswith(b"HTTP/1.1 101"), head
        except BaseException:
            sock.close()
            raise
        return sock


def read_to_end(sock: socket.socket) -> bytes:
    """All bytes until the other side closes."""
    parts = []
    with sock:
        while data := sock.recv(65536):
            parts.append(data)
    return b"".join(parts)


def demultiplex(raw: bytes) -> str:
    """The text of framed streams."""
    out, at = [], 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        out.append(raw[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(out).decode()


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait until the condition holds and return its value."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline_s} s in vain for {what}")
        select.select([], [], [], 0.02)
    return value


@pytest.fixture(scope="session")
def base_archive() -> Path:
    """The image atoll/base:latest as an archive, as the image builder made it."""
    given = os.environ.get("ATOLL_BASE_ARCHIVE")
    if given:
        return Path(given)
    from atoll.paths import images_directory

    found = sorted(images_directory().glob("*/base.tar"), key=lambda path: path.stat().st_mtime)
    if not found:
        pytest.fail("there is no base image; run `python3 ci/test.py`, which builds it")
    return found[-1]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, base_archive: Path) -> Iterator[Engine]:
    """A running engine with the image atoll/base:latest."""
    engine = Engine(tmp_path_factory.mktemp("engine"), f"atoll-{os.getpid()}")
    engine.start()
    engine.ok("POST", "/images/load", base_archive.read_bytes())
    yield engine
    for row in engine.ok("GET", "/containers/json", all=1):
        engine.call("DELETE", f"/containers/{row['Id']}", force=1)
    engine.stop()


@pytest.fixture
def fresh_engine(tmp_path: Path, base_archive: Path) -> Iterator[Engine]:
    """An engine for one test, which may mistreat it."""
    engine = Engine(tmp_path, f"atollx-{os.getpid()}")
    engine.start()
    engine.ok("POST", "/images/load", base_archive.read_bytes())
    yield engine
    try:
        for row in engine.ok("GET", "/containers/json", all=1):
            engine.call("DELETE", f"/containers/{row['Id']}", force=1)
    finally:
        os.kill(engine.supervisor_pid, signal.SIGTERM)
        engine.stop()
