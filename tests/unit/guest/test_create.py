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
from atoll_agent.engine.create import check_request, command_of, fill_host_config, merge_config
from atoll_agent.engine.plan import parse_size, plan_log, plan_rlimits
from atoll_agent.engine.signals import parse_signal
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
        ({"LogConfig": {"Type": "syslog"}}, "no log driver named 'syslog'"),
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
        ({}, {"VolumesFrom": ["c"]}, "volumes-from"),
        ({}, {"Links": ["a:b"]}, "links"),
        ({}, {"UsernsMode": "private"}, "user namespaces"),
        ({}, {"CgroupParent": "/x"}, "cgroup parents"),
        ({}, {"StorageOpt": {"size": "1g"}}, "storage options"),
        ({}, {"PidMode": "container:x"}, "PidMode 'container:x'"),
        ({}, {"IpcMode": "container:x"}, "IpcMode 'container:x'"),
    ],
)
def test_what_cannot_be_done_yet_is_said(config: dict[str, Any], host: dict[str, Any], words: str) -> None:
    status, message = refused(config, host)
    assert status == 501
    assert words in message
    assert "not supported by this version of Atoll" in message


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


@settings(max_examples=400)
@given(st.dictionaries(FIELDS, ANY, max_size=5))
def test_any_request_is_accepted_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(AgentError):
        config, host, _ = check_request(body)
        filled = fill_host_config(host)
        merge_config(config, IMAGE, "0" * 64)
        plan_rlimits(filled)
        plan_log(filled, Path("/x"))


# -- inheritance -----------------------------------------------------------------------------

IMAGE = Image(
    "sha256:0",
    {
        "config": {
            "Cmd": ["image-cmd"],
            "Entrypoint": ["image-entry"],
            "Env": ["PATH=/image", "B=image"],
            "User": "image-user",
            "WorkingDir": "/image",
            "StopSignal": "SIGQUIT",
            "Labels": {"a": "image", "b": "image"},
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/image": {}},
        }
    },
    b"",
)
PLAIN = Image("sha256:1", {}, b"")


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({}, ["image-entry", "image-cmd"]),
        ({"Cmd": []}, ["image-entry", "image-cmd"]),
        ({"Cmd": ["mine"]}, ["image-entry", "mine"]),
        ({"Entrypoint": ["mine"]}, ["mine"]),
        ({"Entrypoint": ["mine"], "Cmd": ["arg"]}, ["mine", "arg"]),
        ({"Entrypoint": [""], "Cmd": ["arg"]}, ["arg"]),
        ({"Entrypoint": [], "Cmd": ["arg"]}, ["arg"]),
        ({"Entrypoint": []}, ["image-cmd"]),
    ],
)
def test_command(config: dict[str, Any], command: list[str]) -> None:
    assert command_of(merge_config(config, IMAGE, "0" * 64)) == command


@pytest.mark.parametrize(("config", "image"), [({}, PLAIN), ({"Cmd": []}, PLAIN), ({"Entrypoint": [""]}, IMAGE)])
def test_no_command(config: dict[str, Any], image: Image) -> None:
    with pytest.raises(AgentError, match="no command specified"):
        merge_config(config, image, "0" * 64)


def test_what_a_container_inherits() -> None:
    own = {"Env": ["B=mine", "C="], "User": "", "Labels": {"b": "mine"}, "Volumes": {"/mine": {}}}
    merged = merge_config(own, IMAGE, "0123456789abcdef" * 4)
    assert merged["Env"] == ["B=mine", "C=", "PATH=/image"]
    assert (merged["User"], merged["WorkingDir"], merged["StopSignal"]) == ("image-user", "/image", "SIGQUIT")
    assert merged["Labels"] == {"a": "image", "b": "mine"}
    assert merged["Volumes"] == {"/image": {}, "/mine": {}}
    assert merged["Hostname"] == "0123456789ab"
    assert (merged["Tty"], merged["Domainname"]) == (False, "")
    plain = merge_config({"Cmd": ["x"], "User": "5", "Hostname": "h"}, PLAIN, "0" * 64)
    assert (plain["User"], plain["Hostname"], plain["Volumes"], plain["Env"]) == ("5", "h", None, [])


def test_defaults_of_the_host_config() -> None:
    filled = fill_host_config({"LogConfig": {"Config": {"max-size": "1m"}}, "NetworkMode": ""})
    assert filled["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert (filled["NetworkMode"], filled["ShmSize"], filled["IpcMode"]) == ("default", 64 << 20, "private")
    assert filled["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert fill_host_config({"NetworkMode": "none", "ShmSize": 5, "PidMode": "host"}).items() >= {
        ("NetworkMode", "none"), ("ShmSize", 5), ("PidMode", "host"),
    }  # fmt: skip


# -- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("term", 15), ("9", 9), (" 9 ", 9), ("SIGRTMIN+3", 37), ("RTMIN", 34),
     ("SIGRTMAX", 64), ("RTMAX-1", 63), ("RTMAX-0", 64), ("64", 64)],
)  # fmt: skip
def test_signal(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "65",
        "-9",
        "SIG",
        "SIGSIGTERM",
        "NOTHING",
        "RTMIN+31",
        "RTMIN+x",
        "RTMIN+-3",
        "RTMAX-31",
        "TERM+1",
        "RTMAX+1",
        "9.0",
        "²",
    ],
)
def test_not_a_signal(text: str) -> None:
    with pytest.raises(AgentError, match="invalid signal"):
        parse_signal(text)


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("5", 5), ("5b", 5), ("10k", 10240), ("1.5m", 3 << 19), ("2G", 2 << 30), ("3kb", 3072),
                       ("-1", 0)],
)  # fmt: skip
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "options", [{"max-size": "x"}, {"max-size": "infm"}, {"max-size": "nank"}, {"max-size": ""}, {"max-file": "two"}]
)
def test_malformed_log_options(options: dict[str, str], tmp_path: Path) -> None:
    if options == {"max-size": ""}:
        assert plan_log({"LogConfig": {"Config": options}}, tmp_path)["max_size"] == 0
        return
    with pytest.raises(AgentError, match="invalid log option"):
        plan_log({"LogConfig": {"Config": options}}, tmp_path)


def test_ulimits() -> None:
    assert plan_rlimits(
        {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "core", "Soft": -1, "Hard": -1}]}
    ) == [
        [7, 1, 2],
        [4, -1, -1],
    ]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"Name": "nothing"}, "invalid ulimit type: nothing"),
        ({}, "invalid ulimit type"),
        ({"Name": "nofile", "Soft": "x"}, "nofile"),
        ({"Name": "nofile", "Soft": 5, "Hard": 4}, "ulimit soft limit must be less than or equal to hard limit: 5 > 4"),
        ({"Name": "nofile", "Soft": -1, "Hard": 4}, "soft limit must be less"),
        ({"Name": "nofile", "Soft": 1 << 70, "Hard": 1 << 70}, "nofile"),
    ],
)
def test_bad_ulimits(item: dict[str, Any], words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        plan_rlimits({"Ulimits": [item]})
    assert caught.value.status == 400
