"""Docker's limits as writes to cgroup files, and its refusals in its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atoll_agent.api.errors import AgentError
from atoll_agent.cgroups import cpu, limits
from atoll_agent.cgroups.hierarchy import Hierarchy, find_hierarchy
from atoll_agent.linux.processors import parse_processors

ALL = Hierarchy(Path("/none"), frozenset({"memory", "cpu", "cpuset", "pids", "io"}))
GIB = 1 << 30


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "count_processors", lambda: 4)


@pytest.mark.parametrize(
    ("host", "writes"),
    [
        ({}, []),
        ({"Memory": 0, "NanoCpus": 0, "PidsLimit": None, "CpusetCpus": ""}, []),
        ({"Memory": GIB}, [["memory.max", "1073741824"], ["memory.swap.max", "1073741824"]]),
        ({"Memory": GIB, "MemorySwap": GIB}, [["memory.max", "1073741824"], ["memory.swap.max", "0"]]),
        ({"Memory": GIB, "MemorySwap": 3 * GIB}, [["memory.max", "1073741824"], ["memory.swap.max", "2147483648"]]),
        ({"Memory": GIB, "MemorySwap": -1}, [["memory.max", "1073741824"], ["memory.swap.max", "max"]]),
        ({"Memory": 6 << 20}, [["memory.max", "6291456"], ["memory.swap.max", "6291456"]]),
        ({"MemoryReservation": GIB}, [["memory.low", "1073741824"]]),
        ({"NanoCpus": 1_500_000_000}, [["cpu.max", "150000 100000"]]),
        ({"NanoCpus": 4_000_000_000}, [["cpu.max", "400000 100000"]]),
        ({"NanoCpus": 1}, [["cpu.max", "1000 100000"]]),
        ({"CpuQuota": 50000}, [["cpu.max", "50000 100000"]]),
        ({"CpuPeriod": 50000}, [["cpu.max", "max 50000"]]),
        ({"CpuPeriod": 1000, "CpuQuota": 1000}, [["cpu.max", "1000 1000"]]),
        ({"CpuQuota": -1}, []),
        ({"CpuShares": 2}, [["cpu.weight", "1"]]),
        ({"CpuShares": 1024}, [["cpu.weight", "39"]]),
        ({"CpuShares": 262144}, [["cpu.weight", "10000"]]),
        ({"CpuShares": 1}, [["cpu.weight", "1"]]),
        ({"CpuShares": 999999}, [["cpu.weight", "10000"]]),
        ({"CpusetCpus": "0-2,3"}, [["cpuset.cpus", "0-2,3"]]),
        ({"CpusetMems": "0"}, [["cpuset.mems", "0"]]),
        ({"PidsLimit": 100}, [["pids.max", "100"]]),
        ({"PidsLimit": -1}, []),
        ({"PidsLimit": 0}, []),
        ({"BlkioWeight": 10}, [["io.weight", "default 1"]]),
        ({"BlkioWeight": 1000}, [["io.weight", "default 10000"]]),
    ],
)
def test_writes(host: dict[str, Any], writes: list[list[str]]) -> None:
    assert limits.plan_limits(host, ALL) == writes


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"Memory": (6 << 20) - 1}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": -1}, "negative"),
        ({"MemorySwap": -2}, "negative"),
        ({"MemoryReservation": -1}, "negative"),
        ({"MemorySwap": GIB}, "should always set the Memory limit"),
        ({"Memory": GIB, "MemorySwap": GIB - 1}, "Minimum memoryswap limit should be larger"),
        ({"Memory": GIB, "MemoryReservation": GIB + 1}, "can not be less than memory reservation"),
        ({"NanoCpus": -1}, "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        ({"NanoCpus": 4_000_000_001}, "Range of CPUs"),
        ({"NanoCpus": 1, "CpuPeriod": 1000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"NanoCpus": 1, "CpuQuota": 1000}, "cannot both be set"),
        ({"CpuPeriod": 999}, "CPU cfs period can not be less than 1ms"),
        ({"CpuPeriod": 1_000_001}, "larger than 1s"),
        ({"CpuQuota": 999}, "CPU cfs quota can not be less than 1ms"),
        ({"CpusetCpus": "0-4"}, "Requested CPUs are not available - requested 0-4, available: 0-3"),
        ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"CpusetCpus": "0-"}, "Invalid value"),
        ({"CpusetCpus": "0\n1"}, "Invalid value"),
        ({"CpusetCpus": "٣"}, "Invalid value"),
        ({"CpusetMems": ","}, "Invalid value , for cpuset mems"),
        ({"BlkioWeight": 9}, "Range of blkio weight is from 10 to 1000"),
        ({"BlkioWeight": 1001}, "Range of blkio weight"),
        ({"BlkioDeviceReadBps": [{"Path": "/nothing", "Rate": 5}]}, "cannot limit device /nothing"),
        ({"BlkioDeviceReadBps": [{"Path": "/", "Rate": 5}]}, "not a block device"),
        ({"BlkioDeviceReadBps": [{}]}, "invalid rate"),
        ({"BlkioDeviceReadBps": [{"Rate": 5}]}, "cannot limit device"),
        ({"BlkioDeviceReadBps": [{"Path": "/", "Rate": "x"}]}, "rate"),
        ({"BlkioDeviceReadBps": [{"Path": "/", "Rate": -1}]}, "rate"),
    ],
)
def test_refusals(host: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        limits.plan_limits(host, ALL)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("host", "controller"),
    [
        ({"Memory": GIB}, "memory"),
        ({"CpuShares": 5}, "cpu"),
        ({"CpusetCpus": "0"}, "cpuset"),
        ({"PidsLimit": 5}, "pids"),
    ],
)
def test_a_limit_that_cannot_be_enforced_is_refused(host: dict[str, Any], controller: str) -> None:
    without = Hierarchy(Path("/none"), ALL.controllers - {controller})
    with pytest.raises(AgentError, match=f"cgroup v2 has no {controller} controller"):
        limits.plan_limits(host, without)
    assert limits.plan_limits({}, Hierarchy(None, frozenset())) == []


@pytest.mark.parametrize("shares", [2, 3, 100, 1024, 200_000, 262144])
def test_weight_grows_with_shares(shares: int) -> None:
    (smaller,), (larger,) = cpu.plan(0, max(2, shares // 2), 0, 0, 1), cpu.plan(0, shares, 0, 0, 1)
    assert 1 <= int(smaller[1]) <= int(larger[1]) <= 10000


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3", 4), ("0-3,6", 5), ("0,2,4-7\n", 6)])
def test_processors(text: str, count: int) -> None:
    assert parse_processors(text) == count


def test_without_cgroup_v2_there_is_no_hierarchy(tmp_path: Path) -> None:
    info = tmp_path / "mountinfo"
    info.write_text("30 24 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n")
    assert find_hierarchy(str(info)) == Hierarchy(None, frozenset())


def test_controllers_are_handed_down(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    (root / "atoll").mkdir(parents=True)
    for directory in (root, root / "atoll"):
        (directory / "cgroup.controllers").write_text("memory pids\n")
    info = tmp_path / "mountinfo"
    info.write_text(f"30 24 0:26 / {root} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n")
    found = find_hierarchy(str(info))
    assert found.parent == root / "atoll"
    assert (root / "cgroup.subtree_control").read_text() == "+pids"
