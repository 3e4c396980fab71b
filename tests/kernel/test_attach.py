"""Other ways to a container's streams: WebSockets, execs whose client reads frames or not, waits that meet restarts."""

from __future__ import annotations

import socket

import pytest

from .conftest import DEADLINE_S, Engine, demultiplex, read_to_end

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def websocket(engine: Engine, path: str) -> socket.socket:
    """Open a WebSocket; the connection behind the answer's head."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE_S)
    sock.connect(str(engine.socket))
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return sock


def test_attach_by_websocket(engine: Engine) -> None:
    container = engine.create("sh", "-c", "read line; echo got $line", OpenStdin=True)
    query = "stream=1&stdin=1&stdout=1&stderr=1"
    with websocket(engine, f"/containers/{container}/attach/ws?{query}") as sock:
        engine.ok("POST", f"/containers/{container}/start")
        sock.sendall(b"\x82\x85\0\0\0\0word\n")
        data = b""
        while piece := sock.recv(4096):
            data += piece
    assert data == b"\x82\x09got word\n\x88\x02\x03\xe8"
    with websocket(engine, f"/containers/{container}/attach/ws?logs=1&stdout=1") as sock:
        assert read_to_end(sock) == b"\x82\x09got word\n"
    engine.ok("DELETE", f"/containers/{container}")


def test_a_websocket_needs_its_handshake(engine: Engine) -> None:
    container = engine.create("true")
    assert engine.call("GET", f"/containers/{container}/attach/ws", stream=1)[0] == 400
    engine.ok("DELETE", f"/containers/{container}")


@pytest.mark.parametrize("reads_frames", [True, False])
def test_an_exec_with_a_terminal_is_framed_as_its_client_asks(engine: Engine, reads_frames: bool) -> None:
    container = engine.running("sleep", "100")
    body = {"Cmd": ["echo", "word"], "AttachStdout": True, "Tty": True}
    exec_id = engine.ok("POST", f"/containers/{container}/exec", body)["Id"]
    raw = read_to_end(engine.hijack(f"/exec/{exec_id}/start", {"Tty": not reads_frames}))
    assert (demultiplex(raw) if reads_frames else raw.decode()) == "word\r\n"
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_a_wait_ends_with_the_run_also_when_the_next_one_follows(engine: Engine) -> None:
    host = {"RestartPolicy": {"Name": "always"}}
    container = engine.running("sh", "-c", "sleep 0.3; exit 7", host=host)
    assert engine.ok("POST", f"/containers/{container}/wait")["StatusCode"] == 7
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_after_a_kill_it_does_not_run(engine: Engine) -> None:
    container = engine.running("sleep", "100")
    engine.ok("POST", f"/containers/{container}/kill")
    state = engine.ok("GET", f"/containers/{container}/json")["State"]
    assert (state["Running"], state["ExitCode"]) == (False, 137)
    engine.ok("DELETE", f"/containers/{container}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/swarm", 503),
        ("POST", "/swarm/leave", 503),
        ("GET", "/nodes", 503),
        ("GET", "/services/x", 503),
        ("POST", "/secrets/create", 503),
        ("POST", "/configs/x/update", 503),
        ("POST", "/build/prune", 200),
        ("GET", "/plugins", 200),
        ("GET", "/plugins/some/thing/json", 404),
        ("POST", "/plugins/pull", 501),
    ],
)
def test_what_one_host_does_not_have(engine: Engine, method: str, path: str, status: int) -> None:
    assert engine.call(method, path)[0] == status


def test_prune_tells_what_it_freed(fresh_engine: Engine) -> None:
    gone = fresh_engine.create("sh", "-c", "echo hello > /data", Labels={"kind": "a"})
    fresh_engine.ok("POST", f"/containers/{gone}/start")
    fresh_engine.ok("POST", f"/containers/{gone}/wait")
    kept = fresh_engine.create("true", Labels={"kind": "b"})
    answer = fresh_engine.ok("POST", "/containers/prune", filters='{"label": ["kind=a"]}')
    assert answer == {"ContainersDeleted": [gone], "SpaceReclaimed": 6}
    assert [row["Id"] for row in fresh_engine.ok("GET", "/containers/json", all=1)] == [kept]
    assert fresh_engine.call("POST", "/containers/prune", filters='{"name": ["x"]}')[0] == 400


def test_top_names_users_as_the_machine_does(engine: Engine) -> None:
    container = engine.running("sleep", "1000")
    (row,) = engine.ok("GET", f"/containers/{container}/top")["Processes"]
    assert (row[0], row[-1]) == ("root", "sleep 1000")
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_an_exec_may_take_a_variable_away(engine: Engine) -> None:
    container = engine.running("sleep", "1000", Env=["A=1", "B=2"])
    assert engine.execute(container, "sh", "-c", "echo $A-$B-$C", Env=["A", "C=3"]) == (0, "-2-3\n")
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_unsaid_swappiness_is_null(engine: Engine) -> None:
    container = engine.create("true", host={"MemorySwappiness": -1})
    assert engine.ok("GET", f"/containers/{container}/json")["HostConfig"]["MemorySwappiness"] is None
    engine.ok("DELETE", f"/containers/{container}")
