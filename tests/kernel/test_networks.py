"""Networks of the user's own: names, addresses, isolation, coming and going."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .conftest import Engine, wait_for
from .test_life import hear_once, kill_agent, port_of

Net = dict[str, Any]


class Lab:
    """Networks and containers that go with the test."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.networks: list[str] = []
        self.containers: list[str] = []

    def network(self, name: str, **more: Any) -> str:
        identity: str = self.engine.ok("POST", "/networks/create", {"Name": name, **more})["Id"]
        self.networks.append(identity)
        return identity

    def run(self, name: str, network: str, settings: Net | None = None, *command: str, **host: Any) -> str:
        body = {
            "Image": "atoll/base",
            "Cmd": list(command or ("sleep", "1000")),
            "HostConfig": {"NetworkMode": network, **host},
            "NetworkingConfig": {"EndpointsConfig": {network: settings or {}}},
        }
        identity: str = self.engine.ok("POST", "/containers/create", body, name=name)["Id"]
        self.containers.append(identity)
        self.engine.ok("POST", f"/containers/{identity}/start")
        return identity

    def at(self, container: str, network: str) -> Net:
        details = self.engine.ok("GET", f"/containers/{container}/json")
        found: Net = details["NetworkSettings"]["Networks"][network]
        return found

    def look_up(self, container: str, name: str) -> list[str]:
        code, out = self.engine.execute(container, "nslookup", name)
        answer = out.partition("\n\n")[2]
        found = [line.split()[-1] for line in answer.splitlines() if line.startswith(("Address", "name", "\tname"))]
        assert (code == 0) == bool(found), out
        return sorted(found)

    def reaches(self, container: str, address: str) -> bool:
        return self.engine.execute(container, "ping", "-c", "1", "-W", "2", address)[0] == 0


@pytest.fixture
def lab(engine: Engine) -> Iterator[Lab]:
    made = Lab(engine)
    yield made
    for container in made.containers:
        engine.call("DELETE", f"/containers/{container}", force=1)
    for network in made.networks:
        engine.call("DELETE", f"/networks/{network}")
    assert [row["Name"] for row in engine.ok("GET", "/networks")] == ["bridge", "host", "none"]


def test_containers_find_each_other_by_name_and_alias(lab: Lab) -> None:
    lab.network("n1")
    a, b = lab.run("anna", "n1"), lab.run("bert", "n1", {"Aliases": ["db", "store"]})
    address = lab.at(b, "n1")["IPAddress"]
    for name in ("bert", "DB", "store", b[:12], "bert.n1"):
        assert lab.look_up(a, name) == [address], name
    code, out = lab.engine.execute(a, "nslookup", address)
    assert (code, "bert.n1" in out) == (0, True), out
    assert lab.look_up(a, "nobody") == []
    assert lab.reaches(a, "bert")
    lab.engine.ok("POST", f"/containers/{b}/stop", t=0)
    assert lab.look_up(a, "bert") == []


def test_an_alias_of_several_containers_has_all_their_addresses(lab: Lab) -> None:
    lab.network("n1")
    asker = lab.run("asker", "n1")
    addresses = [lab.at(lab.run(f"w{number}", "n1", {"Aliases": ["web"]}), "n1")["IPAddress"] for number in range(3)]
    assert lab.look_up(asker, "web") == sorted(addresses)


def test_a_query_of_the_first_moment_is_answered(lab: Lab) -> None:
    lab.network("n1")
    other = lab.run("other", "n1")
    for number in range(5):
        first = lab.run(f"first{number}", "n1", None, "nslookup", "other")
        assert lab.engine.ok("POST", f"/containers/{first}/wait")["StatusCode"] == 0
        assert lab.at(other, "n1")["IPAddress"] in lab.engine.output(first)


def test_a_name_server_in_the_container_can_have_port_53(lab: Lab) -> None:
    lab.network("n1")
    lab.run("own", "n1", None, "sh", "-c", "echo hello | nc -l -p 53")
    other = lab.run("other", "n1")
    wait_for(lambda: lab.engine.execute(other, "sh", "-c", "nc own 53 </dev/null | grep -q hello")[0] == 0, "port 53")


def test_networks_are_apart(lab: Lab) -> None:
    lab.network("n1")
    lab.network("n2")
    a, b = lab.run("anna", "n1"), lab.run("bert", "n2")
    assert lab.look_up(a, "bert") == []
    assert not lab.reaches(a, lab.at(b, "n2")["IPAddress"])
    lab.engine.ok("POST", "/networks/n2/connect", {"Container": "anna", "EndpointConfig": {"Aliases": ["visitor"]}})
    assert lab.look_up(a, "bert") == [lab.at(b, "n2")["IPAddress"]]
    assert lab.reaches(a, "bert")
    assert lab.look_up(b, "visitor") == [lab.at(a, "n2")["IPAddress"]]
    code, out = lab.engine.execute(a, "ip", "-4", "addr", "show", "eth1")
    assert (code, lab.at(a, "n2")["IPAddress"] in out) == (0, True)
    lab.engine.ok("POST", "/networks/n2/disconnect", {"Container": "anna"})
    assert lab.look_up(a, "bert") == []
    assert lab.engine.execute(a, "ip", "addr", "show", "eth1")[0] != 0


def test_a_container_of_the_default_bridge_learns_names_when_it_is_connected(lab: Lab) -> None:
    lab.network("n1")
    b = lab.run("bert", "n1")
    a = lab.run("anna", "bridge")
    lab.engine.ok("POST", "/networks/n1/connect", {"Container": a})
    assert lab.look_up(a, "bert") == [lab.at(b, "n1")["IPAddress"]]


def test_an_internal_network_has_no_way_out(lab: Lab) -> None:
    lab.network("inside", Internal=True)
    a, b = lab.run("anna", "inside"), lab.run("bert", "inside")
    assert lab.reaches(a, "bert")
    code, out = lab.engine.execute(a, "ip", "route")
    assert (code, "default" in out) == (0, False)
    code, out = lab.engine.execute(a, "nslookup", "example.com")
    assert code != 0
    assert "SERVFAIL" in out
    assert lab.at(b, "inside")["IPAddress"]


def test_queries_for_others_go_to_the_name_servers_of_the_container(lab: Lab) -> None:
    lab.network("n1", IPAM={"Config": [{"Subnet": "10.77.1.0/24"}]})
    asker = lab.run("asker", "n1", None, "sleep", "1000", Dns=["10.77.1.1"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, ThreadPoolExecutor(1) as pool:
        server.bind(("10.77.1.1", 53))
        server.settimeout(30)

        def answer() -> bytes:
            data, peer = server.recvfrom(512)
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x01\x02\x03"
            head = data[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
            server.sendto(head + data[12:] + record, peer)
            return data

        heard = pool.submit(answer)
        code, out = lab.engine.execute(asker, "nslookup", "-type=a", "far.example")
        assert b"\x03far\x07example\x00" in heard.result(30)
    assert (code, "10.1.2.3" in out) == (0, True), out


def test_addresses_that_were_asked_for(lab: Lab) -> None:
    lab.network(
        "n1", IPAM={"Config": [{"Subnet": "10.77.2.0/24", "Gateway": "10.77.2.254", "IPRange": "10.77.2.64/28"}]}
    )
    a = lab.run("anna", "n1", {"IPAMConfig": {"IPv4Address": "10.77.2.9"}, "MacAddress": "02:42:00:00:00:09"})
    settings = lab.at(a, "n1")
    assert (settings["IPAddress"], settings["Gateway"], settings["MacAddress"]) == (
        "10.77.2.9", "10.77.2.254", "02:42:00:00:00:09",
    )  # fmt: skip
    b = lab.run("bert", "n1")
    assert lab.at(b, "n1")["IPAddress"].startswith("10.77.2.6")
    body = {
        "Image": "atoll/base",
        "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "n1"},
        "NetworkingConfig": {"EndpointsConfig": {"n1": {"IPAMConfig": {"IPv4Address": "10.77.2.9"}}}},
    }
    third = lab.engine.ok("POST", "/containers/create", body)["Id"]
    lab.containers.append(third)
    status, answer = lab.engine.call("POST", f"/containers/{third}/start")
    assert (status, "Address already in use" in answer["message"]) == (403, True)


def test_ipv6(lab: Lab) -> None:
    lab.network("n6", EnableIPv6=True, IPAM={"Config": [{"Subnet": "fd77:1::/64"}, {"Subnet": "10.77.3.0/24"}]})
    a, b = lab.run("anna", "n6"), lab.run("bert", "n6")
    settings = lab.at(b, "n6")
    assert settings["GlobalIPv6Address"].startswith("fd77:1::")
    assert lab.look_up(a, "bert") == sorted([settings["IPAddress"], settings["GlobalIPv6Address"]])
    assert lab.engine.execute(a, "ping", "-6", "-c", "1", "-W", "2", "bert")[0] == 0


def test_containers_that_may_not_talk_to_each_other(lab: Lab) -> None:
    lab.network("quiet", Options={"com.docker.network.bridge.enable_icc": "false"})
    a, b = lab.run("anna", "quiet"), lab.run("bert", "quiet")
    assert not lab.reaches(a, lab.at(b, "quiet")["IPAddress"])
    gateway = lab.at(a, "quiet")["Gateway"]
    with socket.create_server((gateway, 0)) as listener, ThreadPoolExecutor(1) as pool:
        heard = pool.submit(hear_once, listener)
        assert lab.engine.execute(a, "sh", "-c", f"echo hello | nc {gateway} {port_of(listener)}")[0] == 0
        assert heard.result(30)[0] == b"hello\n"


def test_names_outlive_the_agent(fresh_engine: Engine) -> None:
    engine = fresh_engine
    lab = Lab(engine)
    lab.network("n1")
    a, b = lab.run("anna", "n1"), lab.run("bert", "n1")
    late = lab.run("late", "bridge")
    engine.ok("POST", "/networks/n1/connect", {"Container": late})
    kill_agent(engine)
    for asker in (a, late):
        assert lab.look_up(asker, "bert") == [lab.at(b, "n1")["IPAddress"]]
    c = lab.run("carl", "n1")
    addresses = {lab.at(each, "n1")["IPAddress"] for each in (a, b, c, late)}
    assert len(addresses) == 4
    assert engine.ok("GET", "/networks/n1")["Name"] == "n1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"Name": "bridge"}, 403),
        ({"Name": " "}, 400),
        ({"Name": "a\nb"}, 400),
        ({"Name": "x", "EnableIPv4": False}, 400),
        ({"Name": "x", "Driver": "overlay"}, 404),
        ({"Name": "x", "Driver": "host"}, 403),
        ({"Name": "x", "IPAM": {"Config": [{"Subnet": "10.0.0.1/24"}]}}, 400),
        ({"Name": "x", "IPAM": {"Config": [{"Subnet": "nonsense"}]}}, 400),
        ({"Name": "x", "IPAM": {"Config": [{"Subnet": "10.77.0.0/31"}]}}, 400),
        ({"Name": "x", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24", "Gateway": "10.78.0.1"}]}}, 400),
        ({"Name": "x", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24", "IPRange": "10.78.0.0/28"}]}}, 400),
        ({"Name": "x", "IPAM": {"Config": "all"}}, 400),
        ({"Name": "x", "Options": {"com.docker.network.driver.mtu": "much"}}, 400),
        ({"Name": "x", "Options": {"com.docker.network.bridge.name": "../../etc"}}, 400),
        ({"Name": 7}, 400),
        ({"Name": "x", "Labels": {"a": 1}}, 400),
    ],
)
def test_requests_that_are_refused(engine: Engine, body: Net, status: int) -> None:
    assert engine.call("POST", "/networks/create", body)[0] == status
    assert len(engine.ok("GET", "/networks")) == 3


def test_taken_names_and_subnets(lab: Lab) -> None:
    lab.network("n1", IPAM={"Config": [{"Subnet": "10.77.4.0/24"}]})
    assert lab.engine.call("POST", "/networks/create", {"Name": "n1"})[0] == 409
    body = {"Name": "n2", "IPAM": {"Config": [{"Subnet": "10.77.0.0/16"}]}}
    status, answer = lab.engine.call("POST", "/networks/create", body)
    assert (status, "Pool overlaps" in answer["message"]) == (403, True)


def test_removing(lab: Lab) -> None:
    identity = lab.network("n1")
    container = lab.run("anna", "n1")
    status, answer = lab.engine.call("DELETE", "/networks/n1")
    assert (status, "has active endpoints" in answer["message"]) == (403, True)
    assert lab.engine.call("DELETE", "/networks/bridge")[0] == 403
    assert lab.engine.call("DELETE", "/networks/nosuch")[0] == 404
    details = lab.engine.ok("GET", f"/networks/{identity[:10]}")
    assert [c["Name"] for c in details["Containers"].values()] == ["anna"]
    lab.engine.ok("DELETE", f"/containers/{container}", force=1)
    lab.network("n2", Labels={"keep": "yes"})
    pruned = lab.engine.ok("POST", "/networks/prune", filters=json.dumps({"label!": ["keep=yes"]}))
    assert pruned["NetworksDeleted"] == ["n1"]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert f"br-{identity[:12]}" not in links


def test_lists_and_filters(lab: Lab) -> None:
    lab.network("n1", Labels={"a": "1"})

    def names(**filters: list[str]) -> list[str]:
        return [row["Name"] for row in lab.engine.ok("GET", "/networks", filters=json.dumps(filters))]

    assert names() == ["bridge", "host", "none", "n1"]
    assert names(label=["a=1"]) == names(type=["custom"]) == names(dangling=["true"]) == ["n1"]
    assert names(driver=["null"]) == ["none"]
    assert names(name=["brid"]) == ["bridge"]
    assert lab.engine.call("GET", "/networks", filters='{"x": ["y"]}')[0] == 400


def test_an_ipv6_subnet_alone_brings_an_ipv4_one(lab: Lab) -> None:
    lab.network("six", EnableIPv6=True, IPAM={"Config": [{"Subnet": "2001:db8:7::/64", "Gateway": "2001:db8:7::ff"}]})
    four, six = lab.engine.ok("GET", "/networks/six")["IPAM"]["Config"]
    assert "." in four["Subnet"] and six["Subnet"] == "2001:db8:7::/64"
    a = lab.run("anna", "six", {"IPAMConfig": {"IPv6Address": "2001:db8:7::f00d"}})
    place = lab.engine.ok("GET", f"/containers/{a}/json")["NetworkSettings"]["Networks"]["six"]
    assert place["GlobalIPv6Address"] == "2001:db8:7::f00d" and place["IPAddress"]
    refused = {"EndpointConfig": {"IPAMConfig": {"IPv4Address": place["IPAddress"]}}, "Container": a}
    lab.engine.ok("POST", "/networks/six/disconnect", {"Container": a})
    assert lab.engine.call("POST", "/networks/six/connect", refused)[0] == 400  # that subnet is the engine's choice


def test_a_network_without_ipv4(lab: Lab) -> None:
    lab.network("only six", EnableIPv4=False, EnableIPv6=True)
    assert [":" in pool["Subnet"] for pool in lab.engine.ok("GET", "/networks/only%20six")["IPAM"]["Config"]] == [True]
    a = lab.run("anna", "only six")
    place = lab.engine.ok("GET", f"/containers/{a}/json")["NetworkSettings"]["Networks"]["only six"]
    assert place["GlobalIPv6Address"] and not place["IPAddress"] and place["MacAddress"].startswith("02:42:")


def test_disconnecting_what_is_not_connected_is_refused_with_force_too(lab: Lab) -> None:
    lab.network("one")
    a = lab.run("anna", "bridge")
    for force in (False, True):
        assert lab.engine.call("POST", "/networks/one/disconnect", {"Container": a, "Force": force})[0] == 403
