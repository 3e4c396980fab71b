"""Containers that share another one's network, processes or IPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Engine, demultiplex, read_to_end, wait_for


@pytest.fixture
def made(engine: Engine) -> Iterator[list[str]]:
    containers: list[str] = []
    yield containers
    for container in reversed(containers):
        engine.call("DELETE", f"/containers/{container}", force=1)


def run(engine: Engine, made: list[str], *command: str, name: str = "", **host: Any) -> str:
    body = {"Image": "atoll/base", "Cmd": list(command or ("sleep", "1000")), "HostConfig": host}
    made.append(engine.ok("POST", "/containers/create", body, name=name)["Id"])
    engine.ok("POST", f"/containers/{made[-1]}/start")
    return made[-1]


def namespace(engine: Engine, container: str, kind: str) -> str:
    code, out = engine.execute(container, "readlink", f"/proc/self/ns/{kind}")
    assert code == 0, out
    return out.strip()


def test_a_network(engine: Engine, made: list[str]) -> None:
    donor = run(engine, made, "sh", "-c", "while :; do echo hello | nc -l -p 80; done", name="net-donor")
    guest = run(engine, made, NetworkMode="container:net-donor")
    assert namespace(engine, donor, "net") == namespace(engine, guest, "net")
    assert namespace(engine, donor, "mnt") != namespace(engine, guest, "mnt")
    wait_for(lambda: engine.execute(guest, "sh", "-c", "nc 127.0.0.1 80 </dev/null")[1] == "hello\n", "the server")
    hosts = [engine.execute(container, "cat", "/etc/hosts")[1] for container in (donor, guest)]
    assert hosts[0] == hosts[1]
    assert engine.execute(guest, "hostname")[1] == engine.execute(donor, "hostname")[1]
    found = engine.ok("GET", f"/containers/{guest}/json")
    assert found["HostConfig"]["NetworkMode"] == f"container:{donor}"
    assert found["NetworkSettings"]["Networks"] == {}


def test_processes(engine: Engine, made: list[str]) -> None:
    donor = run(engine, made, name="pid-donor", NetworkMode="none")
    guest = run(
        engine, made, "sh", "-c", "sleep 2000 & exec sleep 3000", NetworkMode="bridge", PidMode="container:pid-donor"
    )
    assert namespace(engine, donor, "pid") == namespace(engine, guest, "pid")
    wait_for(lambda: "sleep 3000" in engine.execute(donor, "ps")[1], "each other's processes")
    assert "eth0" in engine.execute(guest, "ip", "addr")[1]
    engine.ok("POST", f"/containers/{guest}/stop", t=1)
    wait_for(lambda: "sleep 2000" not in engine.execute(donor, "ps")[1], "its children to go with it")
    assert engine.ok("GET", f"/containers/{guest}/json")["State"]["ExitCode"] in (137, 143)
    assert engine.ok("GET", f"/containers/{donor}/json")["State"]["Running"]


def test_a_short_program_among_anothers_processes(engine: Engine, made: list[str]) -> None:
    run(engine, made, name="pid-donor", NetworkMode="none")
    for _ in range(10):
        guest = run(engine, made, "sh", "-c", "echo hi; exit 4", NetworkMode="none", PidMode="container:pid-donor")
        assert engine.ok("POST", f"/containers/{guest}/wait")["StatusCode"] == 4
        assert engine.output(guest) == "hi\n"


def test_shared_memory(engine: Engine, made: list[str]) -> None:
    donor = run(engine, made, name="ipc-donor", NetworkMode="none", IpcMode="shareable")
    guest = run(engine, made, NetworkMode="none", IpcMode="container:ipc-donor")
    assert namespace(engine, donor, "ipc") == namespace(engine, guest, "ipc")
    assert engine.execute(donor, "sh", "-c", "echo shared > /dev/shm/file")[0] == 0
    assert engine.execute(guest, "cat", "/dev/shm/file") == (0, "shared\n")


def test_what_makes_no_sense(engine: Engine, made: list[str]) -> None:
    private = run(engine, made, NetworkMode="none")
    ended = run(engine, made, "true", NetworkMode="none", IpcMode="shareable")
    engine.ok("POST", f"/containers/{ended}/wait")
    for host, status in (
        ({"NetworkMode": "container:nosuch"}, 404),
        ({"IpcMode": f"container:{private}"}, 400),
        ({"NetworkMode": f"container:{private}", "PortBindings": {"80/tcp": [{}]}}, 400),
        ({"NetworkMode": f"container:{private}", "Dns": ["1.1.1.1"]}, 400),
        ({"PidMode": "container"}, 400),
    ):
        assert engine.call("POST", "/containers/create", {"Image": "atoll/base", "HostConfig": host})[0] == status, host
    body = {"Image": "atoll/base", "HostConfig": {"NetworkMode": f"container:{ended}"}}
    made.append(engine.ok("POST", "/containers/create", body)["Id"])
    status, answer = engine.call("POST", f"/containers/{made[-1]}/start")
    assert (status, "is not running" in answer["message"]) == (409, True)


def test_links(engine: Engine, made: list[str]) -> None:
    body = {"Image": "atoll/base", "Cmd": ["sleep", "1000"], "Env": ["COLOUR=red"], "ExposedPorts": {"80/tcp": {}}}
    made.append(engine.ok("POST", "/containers/create", body, name="linked")["Id"])
    asker = {"Image": "atoll/base", "Cmd": ["sleep", "1000"], "HostConfig": {"Links": ["linked:db"]}}
    made.append(engine.ok("POST", "/containers/create", asker, name="asker")["Id"])
    status, answer = engine.call("POST", f"/containers/{made[1]}/start")
    assert (status, "Cannot link to a non running container" in answer["message"]) == (409, True)
    for container in made:
        engine.ok("POST", f"/containers/{container}/start")
    address = engine.ok("GET", f"/containers/{made[0]}/json")["NetworkSettings"]["IPAddress"]
    code, out = engine.execute(made[1], "sh", "-c", "cat /etc/hosts; tr '\\0' '\\n' < /proc/1/environ")
    assert code == 0
    for line in (
        f"{address}\tdb {made[0][:12]} linked",
        "DB_NAME=/asker/db",
        f"DB_PORT=tcp://{address}:80",
        f"DB_PORT_80_TCP_ADDR={address}",
        "DB_ENV_COLOUR=red",
    ):
        assert line in out.splitlines()


def test_volumes_of_another(engine: Engine, made: list[str]) -> None:
    donor = run(engine, made, "true", name="data", NetworkMode="none", Binds=["from-test:/data"])
    run(engine, made, "sh", "-c", "echo kept > /data/x", NetworkMode="none", VolumesFrom=["data"])
    assert engine.ok("POST", f"/containers/{made[-1]}/wait")["StatusCode"] == 0
    run(engine, made, "sh", "-c", "cat /data/x; echo y > /data/y", NetworkMode="none", VolumesFrom=[f"{donor}:ro"])
    assert engine.ok("POST", f"/containers/{made[-1]}/wait")["StatusCode"] != 0
    assert engine.output(made[-1]).startswith("kept\n")
    for container in made:
        engine.ok("DELETE", f"/containers/{container}")
    made.clear()
    engine.ok("DELETE", "/volumes/from-test")


def test_attaching_with_what_was_said_before(engine: Engine, made: list[str]) -> None:
    container = run(
        engine, made, "sh", "-c", "echo before; until [ -e /go ]; do usleep 10000; done; echo after", NetworkMode="none"
    )
    wait_for(lambda: "before" in engine.output(container), "the log")
    assert demultiplex(read_to_end(engine.hijack(f"/containers/{container}/attach?logs=1&stdout=1"))) == "before\n"
    sock = engine.hijack(f"/containers/{container}/attach?logs=1&stdout=1&stream=1")
    exec_id = engine.ok("POST", f"/containers/{container}/exec", {"Cmd": ["touch", "/go"]})["Id"]
    engine.ok("POST", f"/exec/{exec_id}/start", {"Detach": True})
    assert demultiplex(read_to_end(sock)) == "before\nafter\n"


def test_a_link_can_be_taken_away(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "100", host={"NetworkMode": "bridge"}))
    target = engine.ok("GET", f"/containers/{made[0]}/json")["Name"][1:]
    made.append(engine.running("sleep", "100", host={"NetworkMode": "bridge", "Links": [f"{target}:alias"]}))
    details = engine.ok("GET", f"/containers/{made[1]}/json")
    name = details["Name"][1:]
    assert details["HostConfig"]["Links"] == [f"/{target}:/{name}/alias"]

    def names() -> list[str]:
        rows = engine.ok("GET", "/containers/json")
        return sorted(next(row["Names"] for row in rows if row["Id"] == made[0]))

    assert names() == sorted([f"/{target}", f"/{name}/alias"])
    assert engine.call("DELETE", f"/containers/{name}/other", link=1)[0] == 404
    engine.ok("DELETE", f"/containers/{name}/alias", link=1)
    assert names() == [f"/{target}"]
    assert "alias" not in engine.execute(made[1], "cat", "/etc/hosts")[1]
    assert engine.call("DELETE", f"/containers/{name}/alias")[0] == 404
