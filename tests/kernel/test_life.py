"""A container's life through the API: run, exit codes, streams, exec, stop, kill, logs, limits that cannot be kept."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import Engine, demultiplex, read_to_end, wait_for


def test_output_and_exit_code(engine: Engine) -> None:
    assert engine.run("sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\nerr\n")


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [
        ("nosuch", 127, "executable file not found"),
        ("/nope", 127, "no such file"),
        ("/etc/passwd", 126, "permission denied"),
    ],
)
def test_programs_that_cannot_run(engine: Engine, program: str, code: int, text: str) -> None:
    container = engine.create(program)
    status, answer = engine.call("POST", f"/containers/{container}/start")
    assert status == 400
    assert text in answer["message"]
    assert engine.ok("GET", f"/containers/{container}/json")["State"]["ExitCode"] == code
    engine.ok("DELETE", f"/containers/{container}")


def test_environment_user_and_directory(engine: Engine) -> None:
    _, out = engine.run(
        "sh", "-c", "echo $A $HOME $PATH; pwd; id -u", Env=["A=1"], WorkingDir="/new/place", User="nobody"
    )
    first, pwd, uid = out.splitlines()
    assert first.split()[0] == "1"
    assert first.endswith("/bin")
    assert (pwd, uid) == ("/new/place", "65534")


def test_stdin_is_half_closed_and_output_goes_on(engine: Engine) -> None:
    container = engine.create("sh", "-c", "cat; echo after", OpenStdin=True, StdinOnce=True)
    sock = engine.hijack(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1")
    engine.ok("POST", f"/containers/{container}/start")
    sock.sendall(b"input\n")
    sock.shutdown(socket.SHUT_WR)
    assert demultiplex(read_to_end(sock)) == "input\nafter\n"
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_a_lot_of_input_comes_back_whole(engine: Engine) -> None:
    data = os.urandom(3 << 20)
    container = engine.create("cat", OpenStdin=True, StdinOnce=True, host={"LogConfig": {"Type": "none"}})
    sock = engine.hijack(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1")
    engine.ok("POST", f"/containers/{container}/start")

    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    raw = b""
    while piece := sock.recv(65536):
        raw += piece
    sender.join()
    sock.close()
    out, at = b"", 0
    while at < len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        out += raw[at + 8 : at + 8 + size]
        at += 8 + size
    assert out == data
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_a_reader_that_does_not_read_costs_a_bounded_queue(engine: Engine) -> None:
    """Backpressure, not memory: the log has at most what the queue and the pipes hold, until the reader reads."""
    container = engine.create("sh", "-c", "head -c 8000000 /dev/zero | tr '\\0' '\\n'; echo end")
    sock = engine.hijack(f"/containers/{container}/attach?stream=1&stdout=1&stderr=1")
    engine.ok("POST", f"/containers/{container}/start")
    assert demultiplex(read_to_end(sock)) == "\n" * 8_000_000 + "end\n"
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_a_terminal(engine: Engine) -> None:
    container = engine.create("sh", "-c", "tty; stty size; read x; stty size", Tty=True, OpenStdin=True)
    sock = engine.hijack(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1")
    engine.ok("POST", f"/containers/{container}/start")
    engine.ok("POST", f"/containers/{container}/resize", h=33, w=77)
    sock.sendall(b"go\n")
    assert "/dev/pts/0" in (text := read_to_end(sock).decode())
    assert text.rstrip().endswith("33 77")
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_detach_keys_leave_it_running(engine: Engine) -> None:
    container = engine.create("cat", Tty=True, OpenStdin=True)
    sock = engine.hijack(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1")
    engine.ok("POST", f"/containers/{container}/start")
    sock.sendall(b"\x10\x11")
    assert read_to_end(sock) == b""
    assert engine.ok("GET", f"/containers/{container}/json")["State"]["Running"]
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_exec(engine: Engine) -> None:
    container = engine.running("sleep", "100", Env=["A=1"])
    assert engine.execute(container, "sh", "-c", "echo $A$B; exit 4", Env=["B=2"]) == (4, "12\n")
    code, text = engine.execute(container, "nosuch")
    assert code == 127
    assert "executable file not found" in text
    _, status = engine.execute(container, "cat", "/proc/self/status", User="nobody")
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    _, processes = engine.execute(container, "sh", "-c", "ls -d /proc/[0-9]* | wc -l")
    assert int(processes) <= 4
    engine.ok("DELETE", f"/containers/{container}", force=1)
    assert engine.call("POST", f"/containers/{container}/exec", {"Cmd": ["true"]})[0] == 404


def test_stop_insists(engine: Engine) -> None:
    container = engine.running("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    wait_for(lambda: "ready" in engine.output(container), "the trap")
    engine.ok("POST", f"/containers/{container}/stop", t=1)
    state = engine.ok("GET", f"/containers/{container}/json")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    engine.ok("DELETE", f"/containers/{container}")


def test_kill_with_a_signal_that_is_handled(engine: Engine) -> None:
    container = engine.running("sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done")
    wait_for(lambda: "ready" in engine.output(container), "the trap")
    engine.ok("POST", f"/containers/{container}/kill", signal="SIGUSR1")
    assert engine.ok("POST", f"/containers/{container}/wait")["StatusCode"] == 9
    engine.ok("DELETE", f"/containers/{container}")


def test_logs_follow_to_the_end(engine: Engine) -> None:
    container = engine.running("sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done")
    raw = engine.ok("GET", f"/containers/{container}/logs", stdout=1, follow=1)
    assert demultiplex(raw) == "1\n2\n3\n4\n5\n"
    tail = engine.ok("GET", f"/containers/{container}/logs", stdout=1, tail=2, timestamps=1)
    assert [line.split()[1] for line in demultiplex(tail).splitlines()] == ["4", "5"]
    engine.ok("DELETE", f"/containers/{container}")


def test_auto_remove_and_the_wait_for_it(engine: Engine) -> None:
    container = engine.create("true", host={"AutoRemove": True})
    results: list[dict[str, int]] = []
    waiter = threading.Thread(
        target=lambda: results.append(engine.ok("POST", f"/containers/{container}/wait", condition="removed"))
    )
    waiter.start()
    engine.ok("POST", f"/containers/{container}/start")
    waiter.join(30)
    assert results == [{"StatusCode": 0}]
    assert engine.call("GET", f"/containers/{container}/json")[0] == 404
    assert not (engine.data_root / "overlay" / container).exists()


def test_a_name_that_is_taken(engine: Engine) -> None:
    container = engine.create("true", name="taken")
    status, answer = engine.call("POST", "/containers/create", {"Image": "atoll/base", "Cmd": ["true"]}, name="taken")
    assert status == 409
    assert 'The container name "/taken" is already in use' in answer["message"]
    engine.ok("DELETE", f"/containers/{container}")


def test_a_limit_that_cannot_be_enforced_is_refused(engine: Engine) -> None:
    if "memory" in engine_controllers():
        pytest.skip("this host's cgroup v2 has a memory controller")
    body = {"Image": "atoll/base", "Cmd": ["true"], "HostConfig": {"Memory": 64 << 20}}
    status, answer = engine.call("POST", "/containers/create", body)
    assert status == 400
    assert "no memory controller" in answer["message"]


def engine_controllers() -> str:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return (Path(line.split()[4]) / "cgroup.controllers").read_text()
    return ""


@pytest.mark.parametrize(
    "body",
    [
        {"Image": 7},
        {"Image": "atoll/base", "Cmd": "true", "HostConfig": []},
        {"Image": "atoll/base", "HostConfig": {"Memory": "much"}},
        {"Image": "atoll/base", "HostConfig": {"Binds": ["x"]}},
        {"Image": "atoll/base", "HostConfig": {"Binds": ["/a:/"]}},
        {"Image": "atoll/base", "HostConfig": {"Binds": ["/tmp:/proc/x"]}},
        {"Image": "atoll/base", "HostConfig": {"SecurityOpt": ["seccomp={"]}},
        {"Image": "atoll/base", "HostConfig": {"CapAdd": ["NOPE"]}},
        {"Image": "atoll/base", "WorkingDir": "relative"},
        {"Image": "UPPER"},
    ],
)
def test_nonsense_is_a_client_error(engine: Engine, body: dict[str, object]) -> None:
    before = len(engine.ok("GET", "/containers/json", all=1))
    status, answer = engine.call("POST", "/containers/create", body)
    if status == 201:  # malformed only where it is used
        status, answer = engine.call("POST", f"/containers/{answer['Id']}/start")
        engine.ok("DELETE", f"/containers/{engine.ok('GET', '/containers/json', all=1)[0]['Id']}", force=1)
    assert 400 <= status < 500, answer
    assert answer["message"]
    assert len(engine.ok("GET", "/containers/json", all=1)) == before


def test_binds_volumes_and_tmpfs(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    host = {"Binds": [f"{tmp_path}:/in:ro", "vol1:/vol"], "Tmpfs": {"/scratch": "size=1m"}}
    code, out = engine.run(
        "sh", "-c", "cat /in/file; echo kept > /vol/x; echo y > /scratch/y; echo z > /in/z", host=host
    )
    assert code != 0
    assert out.startswith("from the host\n")
    assert engine.run("cat", "/vol/x", host={"Binds": ["vol1:/vol"]}) == (0, "kept\n")
    assert not (tmp_path / "z").exists()
    engine.ok("DELETE", "/volumes/vol1")


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def hear_once(listener: socket.socket) -> tuple[bytes, str]:
    """Accept one connection, read a line, and close it: some versions of nc wait for that."""
    listener.settimeout(30)
    sock, peer = listener.accept()
    with sock:
        return sock.recv(100), peer[0]


def test_the_bridge_reaches_the_host(engine: Engine) -> None:
    container = engine.running("sleep", "100", host={"NetworkMode": "bridge"})
    settings = engine.ok("GET", f"/containers/{container}/json")["NetworkSettings"]
    with socket.create_server((settings["Gateway"], 0)) as listener, ThreadPoolExecutor(1) as pool:
        heard = pool.submit(hear_once, listener)
        code, _ = engine.execute(container, "sh", "-c", f"echo hello | nc {settings['Gateway']} {port_of(listener)}")
        assert (*heard.result(30), code) == (b"hello\n", settings["IPAddress"], 0)
    other = engine.running("sh", "-c", f"ping -c 1 -W 2 {settings['IPAddress']}", host={"NetworkMode": "bridge"})
    assert engine.ok("POST", f"/containers/{other}/wait")["StatusCode"] == 0
    for each in (container, other):
        engine.ok("DELETE", f"/containers/{each}", force=1)


def kill_agent(engine: Engine) -> None:
    """Kill the agent and wait until the next one answers."""
    agent = engine.agent_pid
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: engine.answers() and engine.agent_pid != agent, "the agent to be back")


def test_the_agent_is_killed_and_nothing_is_lost(fresh_engine: Engine) -> None:
    engine = fresh_engine
    container = engine.running("sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done", name="lives")
    short = engine.create("sh", "-c", "sleep 0.3; exit 5")
    engine.ok("POST", f"/containers/{short}/start")
    wait_for(lambda: len(engine.output(container).splitlines()) > 5, "some output")
    kill_agent(engine)
    assert engine.ok("GET", "/containers/lives/json")["State"]["Running"]
    assert engine.ok("POST", f"/containers/{short}/wait")["StatusCode"] == 5
    before = len(engine.output(container).splitlines())
    wait_for(lambda: len(engine.output(container).splitlines()) > before, "more output")
    numbers = [int(line) for line in engine.output(container).splitlines()]
    assert numbers == list(range(len(numbers)))
    assert engine.execute(container, "echo", "hi") == (0, "hi\n")


def test_nothing_leaks(fresh_engine: Engine) -> None:
    engine = fresh_engine
    engine.run("true", host={"NetworkMode": "bridge"})

    def traces() -> tuple[int, int, int, int]:
        supervisor = Path(f"/proc/{engine.supervisor_pid}/fd")
        return (
            len(list(supervisor.iterdir())),
            len(Path(f"/proc/{engine.supervisor_pid}/mountinfo").read_text().splitlines()),
            len([n for n in os.listdir("/sys/class/net") if n.startswith("veth")]),
            len(list((engine.data_root / "overlay").iterdir())),
        )

    before = traces()
    for _ in range(20):
        assert engine.run("sh", "-c", "echo x", host={"NetworkMode": "bridge"})[0] == 0
    wait_for(lambda: traces() <= before, "everything to be given back")


def test_the_end_of_the_engine_asks_containers_in_their_own_way(fresh_engine: Engine) -> None:
    engine = fresh_engine
    script = "trap 'exit 7' USR1; echo ready; while :; do sleep 0.02; done"
    polite = engine.running("sh", "-c", script, StopSignal="SIGUSR1")
    wait_for(lambda: "ready" in engine.output(polite), "the trap")
    engine.stop()
    engine.start()
    assert engine.ok("GET", f"/containers/{polite}/json")["State"]["ExitCode"] == 7


def test_a_record_cut_off_in_a_write_is_set_aside(fresh_engine: Engine) -> None:
    engine = fresh_engine
    good, bad = engine.create("true", name="good"), engine.create("true", name="bad")
    engine.stop()
    record = engine.data_root / "containers" / bad / "config.json"
    record.write_bytes(record.read_bytes()[:100])
    engine.start()
    assert [row["Id"] for row in engine.ok("GET", "/containers/json", all=1)] == [good]
    assert (engine.data_root / "broken" / bad).exists()
    assert "cannot be read" in engine.log.read_text()


def test_requests_that_no_client_sends(engine: Engine) -> None:
    for raw, status in [
        (b"GET /containers/json HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", 431),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"POST /containers/create HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /containers/create HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n" + b" " * (5 << 20), 413),
        (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1.999/info HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1.10/info HTTP/1.1\r\n\r\n", 400),
        (b"\x00\xff\n\n", 400),
    ]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(engine.socket))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(raw)
            assert sock.recv(12).split()[1] == str(status).encode(), raw[:60]
    assert engine.answers()


def test_events_are_told(engine: Engine) -> None:
    container = engine.create("true")
    engine.ok("POST", f"/containers/{container}/start")
    engine.ok("POST", f"/containers/{container}/wait")
    engine.ok("DELETE", f"/containers/{container}")
    filters = json.dumps({"container": [container]})
    raw = engine.call("GET", "/events", since="1", until="1", filters=filters)
    assert raw[0] == 200
