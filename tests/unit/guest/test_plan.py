"""A container's plan as one value: the golden one, and what each request changes in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("containers are planned on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.cgroups.hierarchy import Hierarchy, parts_of
from atoll_agent.engine.confinement import ALL, MASKED_PATHS, READ_ONLY_PATHS, FilterCache
from atoll_agent.engine.devices import check_requests, parse_rule, plan_device_rules, plan_devices
from atoll_agent.engine.execs import plan_exec_environment
from atoll_agent.engine.log_drivers import plan_log
from atoll_agent.engine.plan import (
    plan_container,
    plan_environment,
    plan_namespaces,
)
from atoll_agent.engine.records import Container
from atoll_agent.engine.settings import warn_of
from atoll_agent.engine.standard_mounts import plan_file
from atoll_agent.runtime.spec import ContainerSpec

ID = "0123456789abcdef" * 4
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def plan(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None, **more: Any) -> ContainerSpec:
    """The plan of a container without a seccomp filter, so that nothing is compiled."""
    container = Container(
        id=ID,
        name="c",
        created_ns=0,
        image="a",
        image_id="sha256:0",
        layers=["/layers/top", "/layers/base"],
        config={"Entrypoint": ["/entry"], "Cmd": ["arg"], "Hostname": "web", **(config or {})},
        host_config={"SecurityOpt": ["seccomp=unconfined"], **(host or {})},
        mounts=more.pop("mounts", []),
    )
    given: dict[str, Any] = {
        "directory": Path("/data/c"),
        "overlay": Path("/data/overlay"),
        "mount_point": Path("/run/root"),
        "hierarchy": Hierarchy(Path("/cg/atoll"), frozenset()),
        "writes": [["pids.max", "5"]],
        "interfaces": [],
        "resolver": False,
        "filters": FilterCache.__new__(FilterCache),
        "etc_files": [],
        "asked": [],
        "init": "",
        "variables": [],
    }
    return plan_container(container, **(given | more))


def test_the_plan_is_the_golden_one() -> None:
    planned = plan()
    assert [mount["target"] for mount in planned.pop("mounts")] == [  # type: ignore[misc]
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
    ]  # fmt: skip
    assert [node["path"] for node in planned.pop("devices")] == [  # type: ignore[misc]
        "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty",
    ]  # fmt: skip
    rules = planned["cgroup"].pop("devices")  # type: ignore[misc]
    assert rules is not None
    assert len(rules) == 11
    assert planned == {
        "id": ID,
        "hostname": "web",
        "domainname": "",
        "layers": ["/layers/top", "/layers/base"],
        "upper": "/data/overlay/upper",
        "work": "/data/overlay/work",
        "volatile": False,
        "stop_signal": 15,
        "mount_point": "/run/root",
        "read_only": False,
        "namespaces": ["mnt", "pid", "net", "ipc", "uts", "cgroup"],
        "masked": MASKED_PATHS,
        "read_only_paths": READ_ONLY_PATHS,
        "sysctls": {},
        "interfaces": [],
        "joins": {},
        "resolver": False,
        "cgroup": {"path": f"/cg/atoll/{ID}", "writes": [["pids.max", "5"]]},
        "log": {"path": "/data/c/output.log", "max_size": 0, "max_file": 1},
        "process": {
            "args": ["/entry", "arg"],
            "env": [PATH, "HOSTNAME=web"],
            "cwd": "/",
            "user": "",
            "groups": [],
            "capabilities": 0xA80425FB,
            "no_new_privileges": False,
            "seccomp": "",
            "rlimits": [],
            "oom_score_adj": None,
            "terminal": False,
            "height": 0,
            "width": 0,
            "stdin": False,
            "stdin_once": False,
        },
    }


def test_what_a_process_is_asked_to_be() -> None:
    process = plan(
        {"User": "app", "WorkingDir": "/w", "Tty": True, "OpenStdin": True, "StdinOnce": True, "StopSignal": "SIGQUIT"},
        {"ConsoleSize": [24, 80], "OomScoreAdj": 5, "GroupAdd": ["audio"], "CapDrop": ["ALL"],
         "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
         "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
    )["process"]  # fmt: skip
    assert process == {
        "args": ["/entry", "arg"], "env": [PATH, "HOSTNAME=web", "TERM=xterm"], "cwd": "/w", "user": "app",
        "groups": ["audio"], "capabilities": 0, "no_new_privileges": True, "seccomp": "", "rlimits": [[7, 1, 2]],
        "oom_score_adj": 5, "terminal": True, "height": 24, "width": 80, "stdin": True, "stdin_once": True,
    }  # fmt: skip


def test_privileged_opens_everything() -> None:
    planned = plan(host={"Privileged": True, "SecurityOpt": []})
    assert (planned["masked"], planned["read_only_paths"]) == ([], [])
    assert (planned["process"]["capabilities"], planned["process"]["seccomp"]) == (ALL, "")
    assert planned["cgroup"]["devices"] is None
    assert all("ro" not in mount["flags"] for mount in planned["mounts"])


@pytest.mark.parametrize(
    ("host", "masked", "read_only"),
    [
        ({"SecurityOpt": ["systempaths=unconfined", "seccomp=unconfined"]}, [], []),
        ({"MaskedPaths": ["/m"], "ReadonlyPaths": []}, ["/m"], []),
        ({"MaskedPaths": None}, MASKED_PATHS, READ_ONLY_PATHS),
    ],
)
def test_paths_of_the_kernel(host: dict[str, Any], masked: list[str], read_only: list[str]) -> None:
    planned = plan(host=host)
    assert (planned["masked"], planned["read_only_paths"]) == (masked, read_only)


def test_a_users_mount_takes_the_place_of_a_standard_one() -> None:
    hosts = plan_file("/h", "/etc/hosts", read_only=False)
    asked = [plan_file("/s", "/dev/shm", read_only=True)]
    planned = plan(asked=asked, etc_files=[hosts])["mounts"]
    assert [(m["target"], m["source"]) for m in planned[-3:]] == [
        ("/dev/mqueue", ""), ("/etc/hosts", "/h"), ("/dev/shm", "/s"),
    ]  # fmt: skip
    own = plan_file("/s", "/etc/hosts", read_only=False)
    found = [m["source"] for m in plan(asked=[own], etc_files=[hosts])["mounts"] if m["target"] == "/etc/hosts"]
    assert found == ["/s"]


def test_under_a_read_only_root_the_engines_files_are_so_too() -> None:
    hosts = plan_file("/h", "/etc/hosts", read_only=False)
    assert plan(host={"ReadonlyRootfs": True}, etc_files=[hosts])["mounts"][-1]["flags"] == ["ro"]


def test_an_init_is_put_in_front() -> None:
    planned = plan(init="/usr/bin/tini")
    assert planned["process"]["args"] == ["/sbin/docker-init", "--", "/entry", "arg"]
    (bound,) = [mount for mount in planned["mounts"] if mount["target"] == "/sbin/docker-init"]
    assert (bound["source"], bound["flags"]) == ("/usr/bin/tini", ["ro"])


def test_without_cgroup_v2_there_is_no_cgroup() -> None:
    planned = plan(hierarchy=Hierarchy(None, frozenset()), writes=[])
    assert planned["cgroup"] == {"path": "", "writes": [], "devices": None}
    assert "cgroup2" not in [mount["kind"] for mount in planned["mounts"]]


@pytest.mark.parametrize(
    ("host", "missing"),
    [({}, set()), ({"NetworkMode": "host"}, {"net"}), ({"PidMode": "host", "IpcMode": "host"}, {"pid", "ipc"}),
     ({"UTSMode": "host"}, {"uts"}), ({"CgroupnsMode": "host"}, {"cgroup"}), ({"NetworkMode": "none"}, set())],
)  # fmt: skip
def test_namespaces(host: dict[str, Any], missing: set[str]) -> None:
    assert {"mnt", "pid", "net", "ipc", "uts", "cgroup"} - set(plan_namespaces(host)) == missing
    assert ("mqueue" in [mount["kind"] for mount in plan(host=host)["mounts"]]) is ("ipc" not in missing)


def test_a_device_of_the_machine() -> None:
    host = {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nil", "CgroupPermissions": "r"}]}
    rules = plan_device_rules(host)
    assert rules is not None
    assert rules[-1] == {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}
    assert plan_devices(host)[-1] == {
        "path": "/dev/nil", "type": "c", "major": 1, "minor": 3, "mode": 0o666, "uid": 0, "gid": 0,
    }  # fmt: skip
    assert plan_devices({"Devices": [{"PathOnHost": "/dev/null"}]})[-1]["path"] == "/dev/null"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"PathOnHost": "/dev/nothing"}, 'custom device "/dev/nothing"'),
        ({"PathOnHost": "/etc"}, "not a device node"),
        ({}, 'custom device ""'),
        ({"PathOnHost": "/dev/null", "CgroupPermissions": "rwx"}, "invalid device mode: rwx"),
        ({"PathOnHost": "/dev/null", "PathInContainer": "dev/nil"}, "absolute"),
    ],
)
def test_bad_devices(device: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        plan_device_rules({"Devices": [device]})
        plan_devices({"Devices": [device]})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("config", "environment"),
    [
        ({}, [PATH, "HOSTNAME="]),
        ({"Env": ["PATH=/p", "HOSTNAME=h", "TERM=t"], "Tty": True}, ["PATH=/p", "HOSTNAME=h", "TERM=t"]),
        ({"Env": ["A=1", "B=", "C"], "Hostname": "web"}, [PATH, "HOSTNAME=web", "A=1", "B="]),
    ],
)
def test_environment(config: dict[str, Any], environment: list[str]) -> None:
    assert plan_environment(config) == environment


def test_an_execs_environment_is_the_containers_with_its_own_on_top() -> None:
    config = {"Hostname": "web", "Env": ["A=container", "PATH=/p"]}
    found = plan_exec_environment(config, {"Env": ["A=exec", "B=2", "C"], "Tty": True})
    assert sorted(found) == ["A=exec", "B=2", "HOSTNAME=web", "PATH=/p", "TERM=xterm"]


def test_log() -> None:
    options = {"LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}}
    assert plan_log(options, Path("/c")) == {"path": "/c/output.log", "max_size": 10 << 20, "max_file": 3}
    assert plan_log({"LogConfig": {"Type": "none"}}, Path("/c"))["path"] == ""
    local = plan_log({"LogConfig": {"Type": "local"}}, Path("/c"))
    assert (local["max_size"], local["max_file"]) == (20 << 20, 5)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Type": "syslog"}, "no log driver named 'syslog'"),
        ({"Config": {"max-file": "-5"}}, "max-file cannot be less than 1"),
        ({"Config": {"max-file": "3", "compress": "true"}}, "compress cannot be true when max-file is less than 2"),
        ({"Config": {"size": "3"}}, "unknown log opt 'size' for json-file log driver"),
        ({"Type": "none", "Config": {"max-size": "3"}}, "unknown log opt 'max-size' for none log driver"),
        ({"Config": {"max-size": "1m", "max-file": "3", "compress": "true"}}, "compressed logs are not supported"),
        ({"Config": {"mode": "fast"}}, "logging mode not supported: fast"),
    ],
)
def test_bad_logs(config: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentError, match=words):
        plan_log({"LogConfig": config}, Path("/c"))


def test_rules_of_devices() -> None:
    assert [(r["type"], r["major"], r["minor"], r["access"]) for r in parse_rule("a 7:* rw")] == [
        ("b", 7, -1, "rw"), ("c", 7, -1, "rw"),
    ]  # fmt: skip
    for text in ("c 1:3", "d 1:3 r", "c 1 r", "c -1:3 r", "c 1:3 rx", "c 1:3 r\n"):
        with pytest.raises(AgentError, match="invalid device cgroup rule format"):
            parse_rule(text)


def test_a_directory_of_devices() -> None:
    nodes = plan_devices({"Devices": [{"PathOnHost": "/dev/pts", "PathInContainer": "/dev/terminals"}]})
    assert all(node["path"].startswith("/dev/terminals/") for node in nodes[6:])
    assert any(node["path"] == "/dev/terminals/ptmx" for node in nodes)


def test_a_privileged_container_has_the_machines_devices_once() -> None:
    paths = [node["path"] for node in plan_devices({"Privileged": True})]
    assert len(paths) == len(set(paths))
    assert "/dev/zero" in paths and not any(path.startswith("/dev/pt") for path in paths)


def test_no_driver_for_devices() -> None:
    with pytest.raises(AgentError, match=r'could not select device driver "" with capabilities: \[\[gpu\]\]'):
        check_requests({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]})


def test_settings_without_effect_are_told() -> None:
    assert warn_of({"OomKillDisable": True, "MemorySwappiness": -1}) == [
        "Your kernel does not support OomKillDisable. OomKillDisable discarded."
    ]


@pytest.mark.parametrize("parent", ["..", "a/../b", "a\nb"])
def test_cgroup_parents_that_lead_elsewhere(parent: str) -> None:
    with pytest.raises(AgentError, match="invalid cgroup parent"):
        parts_of(parent)
