"""Create requests: what is refused and in which words, and what a container takes over from its image."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the engine runs on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.engine.create import check_request, fill_host_config, merge_config
from atoll_agent.engine.log_drivers import plan_log
from atoll_agent.engine.plan import plan_rlimits
from atoll_agent.images.store import Image


def refused(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None) -> tuple[int, str]:
    with pytest.raises(AgentError) as caught:
        check_request({"Image": "a", **(config or {}), "HostConfig": host})
    return caught.value.status, caught.value.message


def test_an_empty_request() -> None:
    for body in ({}, {"HostConfig": {}}):
        with pytest.raises(AgentError, match="config cannot be empty"):
            check_request(body)


def test_a_request_is_taken_apart_and_left_as_it_was() -> None:
    body = {
        "Image": "a",
        "Cmd": "one word",
        "Env": ["A=1"],
        "HostConfig": {"Memory": 5},
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}},
    }
    config, host, endpoints = check_request(body)
    assert config == {"Image": "a", "Cmd": ["one word"], "Env": ["A=1"]}
    assert (host, endpoints) == ({"Memory": 5}, {"bridge": {}})
    host["Memory"], config["Env"][0] = 6, "B=2"
    assert (body["HostConfig"], body["Env"]) == ({"Memory": 5}, ["A=1"])


@pytest.mark.parametrize("empty", [None, {}])
def test_what_says_nothing_is_fine(empty: object) -> None:
    assert check_request({"Image": "a", "HostConfig": empty, "NetworkingConfig": empty})[1:] == ({}, {})
    nothing = {"Binds": None, "Mounts": None, "Memory": None, "Privileged": None, "RestartPolicy": {"Name": ""}}
    check_request({"Image": "a", "Cmd": None, "Labels": None, "Healthcheck": None, "HostConfig": nothing})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Image": 5}, "invalid Image: a string is expected"),
        ({"User": ["root"]}, "invalid User: a string is expected"),
        ({"User": "a\0b"}, "invalid User: NUL byte"),
        ({"Tty": 1}, "invalid Tty: true or false is expected"),
        ({"Tty": "true"}, "invalid Tty: true or false is expected"),
        ({"Cmd": 5}, "invalid Cmd: a list of strings is expected"),
        ({"Cmd": [5]}, "invalid Cmd: a list of strings is expected"),
        ({"Cmd": ["a\0"]}, "invalid Cmd: NUL byte"),
        ({"Cmd": ["\ud800"]}, "invalid Cmd: not text"),
        ({"User": "\udfff"}, "invalid User: not text"),
        ({"Env": "A=1"}, "invalid Env: a list of strings is expected"),
        ({"Env": [""]}, "invalid environment variable: "),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"Labels": ["a"]}, "invalid Labels: an object is expected"),
        ({"Labels": {"a": 5}}, "invalid Labels: strings are expected"),
        ({"Volumes": ["/a"]}, "invalid Volumes: an object is expected"),
        ({"ExposedPorts": 5}, "invalid ExposedPorts: an object is expected"),
        ({"Healthcheck": {"Test": 5}}, "invalid Test: a list of strings is expected"),
        ({"Hostname": "-a"}, "invalid hostname format: -a"),
        ({"Hostname": "a b"}, "invalid hostname format: a b"),
        ({"Hostname": "a" * 64}, "invalid hostname format: "),
        ({"WorkingDir": "relative"}, "the working directory 'relative' is invalid"),
        ({"StopSignal": "SIGNOTHING"}, "invalid signal: SIGNOTHING"),
    ],
)
def test_bad_configs(config: dict[str, Any], words: str) -> None:
    status, message = refused(config)
    assert status == 400
    assert words in message


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ([], "invalid HostConfig: an object is expected"),
        ({"Memory": "1g"}, "invalid Memory: a whole number is expected"),
        ({"Memory": 1.5}, "invalid Memory: a whole number is expected"),
        ({"Memory": True}, "invalid Memory: a whole number is expected"),
        ({"Memory": 1 << 63}, "invalid Memory: a whole number is expected"),
        ({"Privileged": "yes"}, "invalid Privileged: true or false is expected"),
        ({"NetworkMode": 5}, "invalid NetworkMode: a string is expected"),
        ({"Binds": "/a:/b"}, "invalid Binds: a list of strings is expected"),
        ({"Binds": ["/a:/b\0"]}, "invalid Binds: NUL byte"),
        ({"Mounts": ["/a"]}, "invalid Mounts: a list of objects is expected"),
        ({"Tmpfs": ["/a"]}, "invalid Tmpfs: an object is expected"),
        ({"Tmpfs": {"/a": 5}}, "invalid Tmpfs: strings are expected"),
        ({"Sysctls": []}, "invalid Sysctls: an object is expected"),
        ({"Sysctls": {"net.core.somaxconn": 5}}, "invalid Sysctls: strings are expected"),
        ({"LogConfig": "json-file"}, "invalid LogConfig: an object is expected"),
        ({"LogConfig": {"Config": []}}, "invalid Config: an object is expected"),
        ({"StorageOpt": {"size": "1g"}}, "--storage-opt is supported only for overlay over xfs"),
        ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"CpuRealtimeRuntime": 1}, "does not support CPU real-time scheduler"),
        ({"Isolation": "hyperv"}, "invalid isolation 'hyperv'"),
        ({"IOMaximumIOps": 5}, "Invalid QoS settings"),
        ({"Runtime": "kata"}, "unknown or invalid runtime name: kata"),
        ({"OomScoreAdj": 1001}, "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        ({"OomScoreAdj": -1001}, "Invalid value -1001"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"ConsoleSize": 5}, "invalid ConsoleSize"),
        ({"ConsoleSize": [24]}, "invalid ConsoleSize"),
        ({"ConsoleSize": [24, "80"]}, "invalid ConsoleSize"),
        ({"ConsoleSize": [-1, 80]}, "invalid ConsoleSize"),
    ],
)
def test_bad_host_configs(host: Any, words: str) -> None:
    status, message = refused(host=host)
    assert status == 400
    assert words in message


@pytest.mark.parametrize(
    ("config", "host", "words"),
    [
        ({}, {"UsernsMode": "private"}, "user namespaces"),
    ],
)
def test_what_cannot_be_done_yet_is_said(config: dict[str, Any], host: dict[str, Any], words: str) -> None:
    status, message = refused(config, host)
    assert status == 501
    assert words in message
    assert "not supported by this version of Atoll" in message


IMAGE = Image("sha256:0", {"config": {"Cmd": ["sh"]}}, b"")
FIELDS = st.sampled_from(
    ["Image", "Cmd", "Env", "Labels", "Volumes", "Healthcheck", "Hostname", "User", "StopSignal", "Tty", "ExposedPorts",
     "HostConfig", "NetworkingConfig", "EndpointsConfig", "Binds", "Mounts", "Memory", "Ulimits", "LogConfig", "Tmpfs",
     "RestartPolicy", "PortBindings", "ConsoleSize", "Devices", "Type", "Config", "Name", "Test", "Sysctls", "Runtime",
     "PidMode", "ExtraHosts", "SecurityOpt"]
)  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "no", "json-file", "x", "TERM"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=200)
@given(st.dictionaries(FIELDS, ANY, max_size=5))
def test_any_request_is_accepted_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(AgentError):
        config, host, _ = check_request(body)
        filled = fill_host_config(host)
        merge_config(config, IMAGE, "0" * 64)
        plan_rlimits(filled)
        plan_log(filled, Path("/x"))
