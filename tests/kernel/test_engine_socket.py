"""A container that is given the engine's own socket, and the agent's end meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from .conftest import Engine, wait_for


def reach(engine: Engine, container: str) -> bool:
    """Connect to the socket as the container sees it."""
    pid = engine.ok("GET", f"/containers/{container}/json")["State"]["Pid"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(f"/proc/{pid}/root/var/run/docker.sock")
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b" 200 " in sock.recv(65536)


@pytest.mark.parametrize("own", [True, False])
def test_the_socket_in_a_container_outlives_the_agent(fresh_engine: Engine, own: bool) -> None:
    engine = fresh_engine
    if not own and Path("/var/run/docker.sock").exists():
        pytest.skip("this host has a Docker of its own")
    source = str(engine.socket) if own else "/var/run/docker.sock"
    host = {"Mounts": [{"Type": "bind", "Source": source, "Target": "/var/run/docker.sock"}]}
    container = engine.running("sleep", "1000", host=host)
    assert reach(engine, container)
    inode = engine.socket.stat().st_ino
    agent = engine.agent_pid
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: _next_agent(engine, agent), "the next agent")
    assert reach(engine, container)
    assert engine.socket.stat().st_ino == inode
    assert not (Path("/var/run/docker.sock").is_dir())


def test_no_request_fails_while_the_agent_is_replaced(fresh_engine: Engine) -> None:
    engine, answers, stop = fresh_engine, [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(engine.call("GET", "/_ping")[0])
            except ConnectionRefusedError:
                answers.append(0)
            except OSError:
                pass  # what was being answered when the agent was killed

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(2):
        agent = engine.agent_pid
        os.kill(agent, signal.SIGKILL)
        wait_for(lambda gone=agent: _next_agent(engine, gone), "the next agent")
        seen = len(answers)
        wait_for(lambda seen=seen: len(answers) > seen + 2, "answers")
    stop.set()
    asking.join()
    assert set(answers) == {200}


def _next_agent(engine: Engine, gone: int) -> bool:
    try:
        return engine.agent_pid != gone
    except (LookupError, FileNotFoundError):
        return False
