"""Published ports on this host."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from atoll_agent.runtime.interfaces import in_network_of

from .conftest import Engine, wait_for
from .test_life import kill_agent

ANSWER = b"hello from the container\n"
SERVE = "while :; do echo hello from the container | nc -l -p 80; done"
DEADLINE_S = 30


@pytest.fixture
def made(engine: Engine) -> Iterator[list[str]]:
    containers: list[str] = []
    yield containers
    for container in containers:
        engine.call("DELETE", f"/containers/{container}", force=1)


def serve(engine: Engine, made: list[str], bindings: dict[str, Any], *command: str, **more: Any) -> dict[str, Any]:
    host = {"NetworkMode": "bridge", "PortBindings": bindings}
    made.append(engine.running(*(command or ("sh", "-c", SERVE)), host=host, **more))
    found: dict[str, Any] = engine.ok("GET", f"/containers/{made[-1]}/json")["NetworkSettings"]["Ports"]
    return found


def ask(address: str, port: int) -> bytes:
    """What a server says; b"" when there is none yet."""
    try:
        with socket.create_connection((address, port), timeout=DEADLINE_S) as sock:
            return sock.recv(100)
    except ConnectionError:
        return b""


def own_address() -> str:
    """An address of this host that is not loopback."""
    return subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()[0]


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_a_port_of_the_kernels_choice(engine: Engine, made: list[str]) -> None:
    places = serve(engine, made, {"80/tcp": [{}]})["80/tcp"]
    port = int(places[0]["HostPort"])
    wait_for(lambda: ask("127.0.0.1", port) == ANSWER, "the port on loopback")
    wait_for(lambda: ask(own_address(), port) == ANSWER, "the port on an address of the host")
    row = next(row for row in engine.ok("GET", "/containers/json") if row["Id"] == made[-1])
    assert {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"} in row["Ports"]
    other = engine.running("sleep", "100", host={"NetworkMode": "bridge"})
    made.append(other)
    wait_for(
        lambda: engine.execute(other, "sh", "-c", f"nc {own_address()} {port} </dev/null")[1] == ANSWER.decode(),
        "a container",
    )
    engine.ok("POST", f"/containers/{made[0]}/stop", t=0)
    assert is_free(port)
    assert engine.ok("GET", f"/containers/{made[0]}/json")["NetworkSettings"]["Ports"] == {}
    engine.ok("POST", f"/containers/{made[0]}/start")
    assert engine.ok("GET", f"/containers/{made[0]}/json")["NetworkSettings"]["Ports"]["80/tcp"]


def test_an_address_that_was_asked_for(engine: Engine, made: list[str]) -> None:
    places = serve(engine, made, {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]})["80/tcp"]
    assert [place["HostIp"] for place in places] == ["127.0.0.1"]
    port = int(places[0]["HostPort"])
    wait_for(lambda: ask("127.0.0.1", port) == ANSWER, "the port")
    assert ask(own_address(), port) == b""


def test_a_taken_port_fails_the_start_and_leaves_nothing(engine: Engine, made: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        body = {
            "Image": "atoll/base",
            "Cmd": ["true"],
            "HostConfig": {
                "NetworkMode": "bridge",
                "PortBindings": {"81/tcp": [{}], "80/tcp": [{"HostPort": str(port)}]},
            },
        }
        made.append(engine.ok("POST", "/containers/create", body)["Id"])
        status, answer = engine.call("POST", f"/containers/{made[-1]}/start")
    assert status == 500
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in answer["message"]
    state = engine.ok("GET", f"/containers/{made[-1]}/json")["State"]
    assert (state["Status"], "already allocated" in state["Error"]) == ("created", True)
    engine.ok("POST", f"/containers/{made[-1]}/start")


def test_a_range_takes_the_first_free_one(engine: Engine, made: list[str]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        first = taken.getsockname()[1]
        if first > 65000:
            pytest.skip("no room above it")
        places = serve(engine, made, {"80/tcp": [{"HostPort": f"{first}-{first + 20}"}]})["80/tcp"]
        assert first < int(places[0]["HostPort"]) <= first + 20


def test_exposed_ports_are_published_when_asked(engine: Engine, made: list[str]) -> None:
    made.append(
        engine.running(
            "sleep",
            "100",
            host={"NetworkMode": "bridge", "PublishAllPorts": True},
            ExposedPorts={"80/tcp": {}, "53/udp": {}},
        )
    )
    ports = engine.ok("GET", f"/containers/{made[-1]}/json")["NetworkSettings"]["Ports"]
    assert {name: bool(places) for name, places in ports.items()} == {"80/tcp": True, "53/udp": True}


def test_datagrams(engine: Engine, made: list[str]) -> None:
    places = serve(engine, made, {"53/udp": [{}]}, "sleep", "1000")["53/udp"]
    pid = engine.ok("GET", f"/containers/{made[-1]}/json")["State"]["Pid"]
    inside = in_network_of(pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with inside, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        inside.bind(("0.0.0.0", 53))
        for sock in (inside, outside):
            sock.settimeout(DEADLINE_S)
        for address in ("127.0.0.1", own_address()):
            outside.sendto(b"over there?", (address, int(places[0]["HostPort"])))
            data, peer = inside.recvfrom(100)
            inside.sendto(data.upper(), peer)
            assert outside.recvfrom(100)[0] == b"OVER THERE?"


def test_ports_outlive_the_agent(fresh_engine: Engine) -> None:
    engine = fresh_engine
    made: list[str] = []
    port = int(serve(engine, made, {"80/tcp": [{}]})["80/tcp"][0]["HostPort"])
    wait_for(lambda: ask("127.0.0.1", port) == ANSWER, "the port")
    kill_agent(engine)
    wait_for(lambda: ask("127.0.0.1", port) == ANSWER, "the port again")
    wait_for(lambda: ask(own_address(), port) == ANSWER, "the firewall's rule")
    engine.ok("DELETE", f"/containers/{made[0]}", force=1)
    assert is_free(port)


@pytest.mark.parametrize(
    "bindings",
    [
        {"80/icmp": [{}]},
        {"0/tcp": [{}]},
        {"70000": [{}]},
        {"80-70": [{}]},
        {"80/tcp": [{"HostPort": "99999"}]},
        {"80/tcp": [{"HostPort": "http"}]},
        {"80/tcp": [{"HostIp": "nowhere"}]},
        {"80/tcp": "8080"},
        {"80/tcp": ["8080"]},
    ],
)
def test_malformed_ports_are_refused(engine: Engine, bindings: dict[str, Any]) -> None:
    body = {"Image": "atoll/base", "Cmd": ["true"], "HostConfig": {"PortBindings": bindings}}
    status, answer = engine.call("POST", "/containers/create", body)
    assert (status, bool(answer["message"])) == (400, True)
