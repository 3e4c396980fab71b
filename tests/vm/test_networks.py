"""Networks and published ports of a machine that boots, seen from its host."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

from .conftest import BASE, Home, wait_for

ANSWER = b"hello from the container\n"
SERVE = "while :; do echo hello from the container | nc -l -p 80; done"
DEADLINE_S = 60


def publish(machine: Home, name: str, bindings: dict[str, Any], *command: str) -> dict[str, Any]:
    """A container with published ports; where they are."""
    request: Any = {
        "Image": BASE,
        "Cmd": list(command or ("sh", "-c", SERVE)),
        "HostConfig": {"NetworkMode": "bridge", "PortBindings": bindings},
    }
    with closing(machine.engine()) as engine:
        engine.containers.create(request, name=name)
        engine.containers.start(name)
    found: dict[str, Any] = machine.inspect(name)["NetworkSettings"]["Ports"]
    return found


def ask(port: int) -> bytes:
    """What a server says; b"" when there is none yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
            return sock.recv(100)
    except ConnectionError:
        return b""


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except ConnectionError:
        return False
    return True


def test_a_published_port_is_the_hosts_as_long_as_the_container_runs(machine: Home, name: str) -> None:
    port = int(publish(machine, name, {"80/tcp": [{}]})["80/tcp"][0]["HostPort"])
    wait_for(lambda: ask(port) == ANSWER, "an answer")
    machine("stop", "-t", "0", name)
    assert not is_open(port)
    machine("start", name)
    machine("rm", "-f", name)


def test_a_port_that_the_host_has_given_to_somebody_else(machine: Home, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        request: Any = {
            "Image": BASE,
            "Cmd": ["true"],
            "HostConfig": {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostPort": str(port)}]}},
        }
        with closing(machine.engine()) as engine:
            engine.containers.create(request, name=name)
        failed = machine("start", name, code=1)
        assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in failed.stderr.decode()
    machine("start", name)
    machine("rm", "-f", name)


def test_much_goes_through_a_port_and_half_closes(machine: Home, name: str) -> None:
    count = "nc -l -p 80 > /tmp/all; wc -c < /tmp/all > /tmp/count; sleep 1000"
    port = int(publish(machine, name, {"80/tcp": [{}]}, "sh", "-c", count)["80/tcp"][0]["HostPort"])
    size = 3_000_000

    def send() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as sock:
            try:
                sock.sendall(bytes(size))
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1000):
                    pass
            except ConnectionError:
                return False
        return machine("exec", name, "test", "-s", "/tmp/count", code=None).returncode == 0

    wait_for(send, "all of it to arrive")
    assert machine.out("exec", name, "cat", "/tmp/count") == str(size)
    machine("rm", "-f", name)


def test_ports_are_told_again_when_the_agent_comes_back(fresh: Home, name: str) -> None:
    port = int(publish(fresh, name, {"80/tcp": [{}]})["80/tcp"][0]["HostPort"])
    wait_for(lambda: ask(port) == ANSWER, "an answer")
    fresh.kill_agent()
    wait_for(lambda: ask(port) == ANSWER, "an answer after the agent's end")
    fresh("rm", "-f", name)
    wait_for(lambda: not is_open(port), "the port to go with its container")


def test_containers_of_a_network_know_each_others_names(machine: Home, name: str) -> None:
    with closing(machine.engine()) as engine:
        engine.call("POST", "/networks/create", json={"Name": name})
        for each in (f"{name}-a", f"{name}-b"):
            request: Any = {"Image": BASE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": name}}
            engine.containers.create(request, name=each)
            engine.containers.start(each)
        machine("exec", f"{name}-a", "ping", "-c", "1", "-W", "5", f"{name}-b")
        assert machine("exec", f"{name}-a", "nslookup", "nobody", code=None).returncode != 0
        machine("rm", "-f", f"{name}-a", f"{name}-b")
        engine.request("DELETE", f"/networks/{name}").read()
