"""Limits and the network where they are enforced: by a kernel of our own, whatever this computer's is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .conftest import BASE, Home, wait_for

RUN = ("run", "--rm", "--network", "none")
BOMB = "bomb() { bomb | bomb & bomb; }; bomb"
HOST_SEEN_FROM_A_MACHINE = "10.0.2.2"


def cgroup_of(machine: Home, container: str) -> str:
    """Directory of a container's cgroup in the machine."""
    return f"/sys/fs/cgroup/atoll/{machine.inspect(container)['Id']}"


def test_eating_memory_ends_the_eater_alone(machine: Home, neighbour: str, name: str) -> None:
    hungry = ("awk", 'BEGIN { s = "x"; while (1) s = s s }')
    machine("run", "--name", name, "--network", "none", "-m", "32m", BASE, *hungry, code=137)
    state = machine.inspect(name)["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, True)
    assert machine.inside(neighbour, "echo", "here") == "here"
    machine("rm", name)


def test_fork_bomb_is_contained(machine: Home, neighbour: str, name: str) -> None:
    machine("run", "-d", "--name", name, "--network", "none", "--pids-limit", "20", BASE, "sleep", "1000")
    cgroup = cgroup_of(machine, name)
    machine("exec", "-d", name, "sh", "-c", BOMB)

    def refused() -> int:
        text = machine.out("machine", "ssh", "default", f"cat {cgroup}/pids.events")
        return int(text.split()[1])

    wait_for(refused, "the bomb to meet its limit")
    assert int(machine.out("machine", "ssh", "default", f"cat {cgroup}/pids.peak")) <= 20
    assert machine.inside(neighbour, "echo", "here") == "here"
    machine("rm", "-f", name)


@pytest.mark.parametrize(
    ("options", "file", "content"),
    [
        ("--cpus 0.5", "cpu.max", "50000 100000"),
        ("--cpu-quota 20000 --cpu-period 50000", "cpu.max", "20000 50000"),
        ("--cpuset-cpus 0", "cpuset.cpus.effective", "0"),
        ("-m 64m", "memory.max", str(64 << 20)),
        ("-m 64m --memory-swap 96m", "memory.swap.max", str(32 << 20)),
        ("-m 64m --memory-swap 64m", "memory.swap.max", "0"),
        ("-m 64m --memory-swap -1", "memory.swap.max", "max"),
        ("--memory-reservation 16m", "memory.low", str(16 << 20)),
        ("--pids-limit 77", "pids.max", "77"),
    ],
)
def test_limit_is_in_the_containers_cgroup(machine: Home, options: str, file: str, content: str) -> None:
    assert machine.out(*RUN, *options.split(), BASE, "cat", f"/sys/fs/cgroup/{file}") == content


def test_cpu_shares_weigh(machine: Home) -> None:
    def weight(*options: str) -> int:
        return int(machine.out(*RUN, *options, BASE, "cat", "/sys/fs/cgroup/cpu.weight"))

    assert weight("--cpu-shares", "512") < weight() < weight("--cpu-shares", "4096")


def test_inspect_tells_the_limits(machine: Home, name: str) -> None:
    options = ("--cpus", "0.5", "-m", "64m", "--pids-limit", "20", "--cpu-shares", "512", "--cpuset-cpus", "0")
    machine("create", "--name", name, *options, BASE, "true")
    limits = machine.inspect(name)["HostConfig"]
    assert (limits["NanoCpus"], limits["Memory"], limits["MemorySwap"]) == (500_000_000, 64 << 20, 128 << 20)
    assert (limits["PidsLimit"], limits["CpuShares"], limits["CpusetCpus"]) == (20, 512, "0")
    machine("rm", name)


def test_more_cpus_than_there_are_are_refused(machine: Home) -> None:
    done = machine(*RUN, "--cpus", "64", BASE, "true", code=125)
    assert "CPUs" in done.stderr.decode()
    machine(*RUN, "--cpuset-cpus", "63", BASE, "true", code=125)


def test_device_made_with_mknod_cannot_be_opened(machine: Home) -> None:
    """CAP_MKNOD is among Docker's default capabilities: it is the cgroup's device filter that stands in the way."""
    disk = machine.out("machine", "ssh", "default", "cat /sys/block/vda/dev").replace(":", " ")
    script = f"mknod /tmp/disk b {disk}; mknod /tmp/null c 1 3; echo x > /tmp/null && dd if=/tmp/disk count=1"
    done = machine(*RUN, BASE, "sh", "-c", script, code=1)
    assert done.stderr.decode().strip() == "dd: can't open '/tmp/disk': Operation not permitted"


def test_device_that_was_given_can_be_opened_as_allowed(machine: Home) -> None:
    script = "dd if=/dev/disk count=1 of=/dev/null 2> /dev/null && echo read; echo > /dev/disk"
    done = machine(*RUN, "--device", "/dev/vda:/dev/disk:r", BASE, "sh", "-c", script, code=1)
    assert done.stdout == b"read\n"
    assert "Operation not permitted" in done.stderr.decode()


# -- the network -----------------------------------------------------------------------------


@contextmanager
def web_server(text: bytes) -> Iterator[int]:
    """A server on this computer's loopback; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *words: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_bridge_gives_an_address_and_a_way_out(machine: Home, name: str) -> None:
    machine("run", "-d", "--name", name, BASE, "sleep", "1000")
    settings = machine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]
    addresses = machine.inside(name, "ip", "-o", "-4", "addr", "show", "eth0")
    assert f"inet {settings['IPAddress']}/{settings['IPPrefixLen']} " in addresses
    assert machine.inside(name, "ip", "route").splitlines()[0].strip() == f"default via {settings['Gateway']} dev eth0"
    machine("rm", "-f", name)


def test_containers_on_the_bridge_reach_each_other(machine: Home, name: str) -> None:
    serve = "echo from next door > /index.html; httpd -f -p 8080 -h /"
    machine("run", "-d", "--name", name, BASE, "sh", "-c", serve)
    address = machine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    fetch = f"until wget -q -O - http://{address}:8080/; do usleep 50000; done"
    assert machine.out("run", "--rm", BASE, "timeout", "30", "sh", "-c", fetch) == "from next door"
    assert machine.out("run", "--rm", BASE, "ping", "-c", "1", "-W", "10", address).count("1 packets received") == 1
    machine("rm", "-f", name)


def test_container_reaches_this_computer(machine: Home) -> None:
    """Through the bridge, the machine's interface and QEMU's user network, which ends on this computer's loopback."""
    with web_server(b"from the host") as port:
        url = f"http://{HOST_SEEN_FROM_A_MACHINE}:{port}/"
        assert machine.out("run", "--rm", BASE, "wget", "-q", "-T", "30", "-O", "-", url) == "from the host"
        assert machine.out("run", "--rm", "--network", "host", BASE, "wget", "-q", "-O", "-", url) == "from the host"
        none = machine(*RUN, BASE, "wget", "-q", "-T", "30", "-O", "-", url, code=1)
    assert "Network is unreachable" in none.stderr.decode()


def test_no_network_has_a_loopback_that_is_up(machine: Home) -> None:
    lines = machine.out(*RUN, BASE, "ip", "-o", "link").splitlines()
    assert len(lines) == 1
    assert "lo: <LOOPBACK,UP,LOWER_UP>" in lines[0]
    assert machine.out(*RUN, BASE, "ip", "route") == ""
    assert "0% packet loss" in machine.out(*RUN, BASE, "ping", "-c", "1", "127.0.0.1")


def test_name_server_is_the_machines_own(machine: Home) -> None:
    assert machine.out("run", "--rm", BASE, "cat", "/etc/resolv.conf").splitlines()[-1].startswith("nameserver ")
    given = machine.out("run", "--rm", "--dns", "192.0.2.1", BASE, "cat", "/etc/resolv.conf")
    assert "nameserver 192.0.2.1" in given


def test_addresses_are_given_back(machine: Home) -> None:
    """A container that is gone leaves no interface in the machine."""
    count = "ls /sys/class/net | grep -c veth"
    before = machine.out("machine", "ssh", "default", count, code=None)
    machine("run", "--rm", BASE, "true")
    wait_for(lambda: machine.out("machine", "ssh", "default", count, code=None) == before, "the interface to be gone")
