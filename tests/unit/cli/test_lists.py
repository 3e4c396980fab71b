"""Rows of lists, ports, sizes and numbers: from the engine's answers to what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.cli import df, history, images, look, networks, ps, stats, volumes
from atoll.cli.alter import build_update
from atoll.cli.info import format_info
from atoll.cli.moments import format_go_time
from atoll.cli.networks import build_endpoint, build_ipam, build_network
from atoll.cli.networks import create as network_create
from atoll.cli.sorting import natural
from atoll.errors import ConfigError, HostError


def test_natural_order() -> None:
    assert sorted(["web10", "web2", "[::]:1", "0.0.0.0:1", "b", "22d", "0942d"], key=natural) == [
        "0.0.0.0:1", "22d", "0942d", "[::]:1", "b", "web2", "web10",
    ]  # fmt: skip


def test_ports_in_a_row_are_one_range() -> None:
    ports = [{"PrivatePort": n, "Type": "tcp"} for n in (9, 7, 8, 20)]
    ports += [{"PrivatePort": n, "PublicPort": n, "Type": "tcp", "IP": "::"} for n in (80, 81)]
    assert ps.format_ports(ports) == "7-9/tcp, 20/tcp, [::]:80-81->80-81/tcp"  # type: ignore[arg-type]


def test_image_of_a_container_in_short() -> None:
    def image(name: str, identity: str = "sha256:" + "a" * 64, *, trunc: bool = True) -> str:
        return str(ps.summarize({"Id": "f" * 64, "Image": name, "ImageID": identity}, 0, trunc=trunc)["Image"])

    assert image("atoll/base:1") == "atoll/base:1"
    assert image("sha256:" + "a" * 64) == "a" * 12
    assert image("sha256:" + "a" * 64, trunc=False) == "sha256:" + "a" * 64
    assert image("docker.io/library/x:1@sha256:" + "b" * 64) == "x:1"


def test_names_of_a_linked_container() -> None:
    container: Any = {"Id": "f" * 64, "Names": ["/web/db", "/db"]}
    assert ps.summarize(container, 0, trunc=True)["Names"] == "db"
    assert ps.summarize(container, 0, trunc=False)["Names"] == "web/db,db"


PORTS = {
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
    "9/tcp": None,
}


def test_bindings_of_ports() -> None:
    assert look.format_bindings(PORTS, None, "x") == [
        "53/udp -> 127.0.0.1:53",
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
    ]
    assert look.format_bindings(PORTS, "80", "x") == ["0.0.0.0:8080", "[::]:8080"]
    assert look.format_bindings(PORTS, "53/udp", "x") == ["127.0.0.1:53"]
    with pytest.raises(HostError, match="'9/tcp'"):
        look.format_bindings(PORTS, "9", "x")
    with pytest.raises(ConfigError):
        look.format_bindings(PORTS, "http", "x")


def test_history() -> None:
    step = {"Id": "sha256:" + "a" * 64, "Created": 1_700_000_000, "CreatedBy": "RUN\t" + "x" * 60, "Size": 1234}
    row = history.summarize(step, 1_700_000_090, trunc=True, human=True)
    assert (row["ID"], row["CreatedSince"], row["Size"]) == ("a" * 12, "About a minute ago", "1.23kB")
    assert row["CreatedBy"] == "RUN " + "x" * 40 + "…"
    whole = history.summarize(step, 1_700_000_090, trunc=False, human=False)
    assert (whole["ID"], whole["Size"]) == ("sha256:" + "a" * 64, "1234")
    assert whole["CreatedSince"] == whole["CreatedAt"]
    assert history.summarize({"Id": "<missing>", "Created": 0}, 0, trunc=True, human=True)["CreatedSince"] == "N/A"


def test_row_of_an_image() -> None:
    (row,) = images.summarize(
        {"Id": "sha256:" + "a" * 64, "Size": 3000, "SharedSize": 1000, "Containers": 2}, 0, trunc=True
    )
    assert (row["Repository"], row["SharedSize"], row["UniqueSize"], row["Containers"]) == ("<none>", "1kB", "2kB", "2")
    (row,) = images.summarize({"Id": "sha256:" + "a" * 64, "Size": 3000}, 0, trunc=True)
    assert (row["SharedSize"], row["UniqueSize"], row["Containers"]) == ("N/A", "N/A", "N/A")


def test_row_of_a_volume_and_of_a_network() -> None:
    volume = {
        "Name": "v",
        "Driver": "local",
        "Labels": {"b": "2", "a": "1"},
        "UsageData": {"Size": 1234, "RefCount": 1},
    }
    row = volumes.summarize(volume)
    assert (row["Labels"], row["Size"], row["Links"], row["Label"]("b")) == ("a=1,b=2", "1.234kB", "1", "2")
    assert volumes.summarize({"Name": "v"})["Size"] == "N/A"
    found = {"Id": "a" * 64, "Name": "n", "Created": "2026-01-31T12:00:00.5Z", "Internal": True}
    line = networks.summarize(found, trunc=True)
    assert (line["ID"], line["CreatedAt"], line["Internal"]) == ("a" * 12, "2026-01-31 12:00:00.5 +0000 UTC", "true")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31 12:00:00 +0000 UTC"),
        ("2026-01-31T12:00:00.120+02:00", "2026-01-31 12:00:00.12 +0200 +0200"),
        ("nonsense", "nonsense"),
    ],
)
def test_time_as_go_prints_it(text: str, shown: str) -> None:
    assert format_go_time(text) == shown


def test_disk_usage() -> None:
    usage: dict[str, Any] = {
        "LayersSize": 1000,
        "Images": [
            {"Id": "sha256:a", "Size": 600, "SharedSize": 100, "Containers": 1},
            {"Id": "sha256:b", "Size": 500, "SharedSize": 100, "Containers": 0},
        ],
        "Containers": [
            {"Id": "a" * 64, "State": "running", "SizeRw": 30},
            {"Id": "b" * 64, "State": "exited", "SizeRw": 10},
        ],
        "Volumes": [{"Name": "v", "UsageData": {"Size": 5000, "RefCount": 0}}],
        "BuildCache": None,
    }
    assert [tuple(row.values()) for row in df.summarize(usage)] == [
        ("Images", "2", "1", "1kB", "500B (50%)"),
        ("Containers", "2", "1", "40B", "10B (25%)"),
        ("Local Volumes", "1", "0", "5kB", "5kB (100%)"),
        ("Build Cache", "0", "0", "0B", "0B"),
    ]
    assert [tuple(row.values())[3] for row in df.summarize({})] == ["0B"] * 4
    assert len(df.detail(usage, 0, trunc=True)["Containers"]) == 2


NUMBERS = {
    "id": "a" * 64,
    "name": "/web",
    "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
    "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
    "memory_stats": {"usage": 3 << 20, "limit": 8 << 20, "stats": {"inactive_file": 1 << 20}},
    "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
    "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 10}, {"op": "write", "value": 20}]},
    "pids_stats": {"current": 3},
}


def test_stats() -> None:
    row = stats.summarize("web", NUMBERS, trunc=True)
    assert row == {
        "Container": "web",
        "ID": "a" * 12,
        "Name": "web",
        "CPUPerc": "40.00%",
        "MemUsage": "2MiB / 8MiB",
        "MemPerc": "25.00%",
        "NetIO": "1.5kB / 2kB",
        "BlockIO": "10B / 20B",
        "PIDs": "3",
    }
    assert stats.summarize("web", None, trunc=True)["MemUsage"] == "-- / --"
    assert stats.summarize("web", {}, trunc=True)["CPUPerc"] == "0.00%"
    assert stats.cpu_percent({**NUMBERS, "precpu_stats": NUMBERS["cpu_stats"]}) == 0
    assert stats.memory_used({"usage": 10, "limit": 20, "stats": {"total_inactive_file": 4}}) == (6, 20)


def test_addresses_go_to_the_subnet_they_lie_in() -> None:
    assert build_ipam(
        ["10.1.0.0/24", "fd00::/64"], ["fd00::1", "10.1.0.1"], ["10.1.0.128/25"], ["printer=10.1.0.9"]
    ) == [
        {
            "Subnet": "10.1.0.0/24",
            "IPRange": "10.1.0.128/25",
            "Gateway": "10.1.0.1",
            "AuxiliaryAddresses": {"printer": "10.1.0.9"},
        },
        {"Subnet": "fd00::/64", "Gateway": "fd00::1"},
    ]


@pytest.mark.parametrize(
    ("subnets", "gateways", "ranges"),
    [
        (["10.1.0.0/24"], ["10.2.0.1"], []),
        (["10.1.0.0/24"], ["10.1.0.1", "10.1.0.2"], []),
        ([], ["10.1.0.1"], []),
        (["10.1.0.0/24", "10.1.0.0/16"], [], []),
        (["10.1.0.0/99"], [], []),
        (["10.1.0.0/24", "10.2.0.0/24"], [], ["10.1.0.0/26", "10.1.0.64/26"]),
    ],
)
def test_addresses_that_make_no_sense(subnets: list[str], gateways: list[str], ranges: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build_ipam(subnets, gateways, ranges, [])


def test_request_for_a_network() -> None:
    words = "--internal --ipv6 -o a=b --label c=d --subnet 10.1.0.0/24,10.2.0.0/24 back"
    with network_create.make_context("create", words.split()) as context:
        flags = {name: value for name, value in context.params.items() if name != "network"}
    request = build_network("back", flags)
    assert request["Internal"] and request["EnableIPv6"] and "EnableIPv4" not in request
    assert (request["Options"], request["Labels"]) == ({"a": "b"}, {"c": "d"})
    assert [pool["Subnet"] for pool in request["IPAM"]["Config"]] == ["10.1.0.0/24", "10.2.0.0/24"]


def test_settings_of_an_endpoint() -> None:
    flags = {"aliases": ("a",), "options": (), "priority": None, "ip": "10.0.0.2", "ip6": None, "links": ()}
    assert build_endpoint({**flags, "link_local": ()}) == {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}}


def test_info_as_docker_lays_it_out() -> None:
    found = {
        "Containers": 2,
        "ContainersRunning": 1,
        "ContainersStopped": 1,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "extfs"]],
        "Plugins": {"Volume": ["local"], "Network": ["bridge"], "Log": ["json-file"]},
        "Swarm": {"LocalNodeState": "inactive"},
        "OSType": "linux",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "MemTotal": 1 << 30,
        "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}},
    }
    text = "\n".join(format_info(found))
    assert text.startswith(
        " Containers: 2\n  Running: 1\n  Paused: 0\n  Stopped: 1\n Images: 0\n Storage Driver: overlay2\n"
    )
    assert "  Backing Filesystem: extfs\n Plugins:\n  Volume: local\n  Network: bridge\n  Log: json-file\n" in text
    assert " Security Options:\n  seccomp\n   Profile: builtin\n  cgroupns\n" in text
    assert " Total Memory: 1GiB\n" in text
    assert " Insecure Registries:\n  127.0.0.0/8\n Live Restore Enabled: false" in text


def test_request_for_an_update() -> None:
    names = (
        "blkio_weight cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset_cpus cpuset_mems memory"
        " memory_reservation memory_swap pids_limit restart"
    )
    flags: dict[str, Any] = dict.fromkeys(names.split())
    assert build_update(flags) == {}
    changes = {"memory": "1m", "memory_swap": "-1", "cpus": "0.5", "restart": "always", "pids_limit": -1}
    assert build_update({**flags, **changes}) == {
        "Memory": 1 << 20,
        "MemorySwap": -1,
        "NanoCpus": 500_000_000,
        "PidsLimit": -1,
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    }
