"""What a container takes over from its image, and the small values of a request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the engine runs on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.engine.create import command_of, fill_host_config, merge_config
from atoll_agent.engine.log_drivers import parse_size, plan_log
from atoll_agent.engine.plan import plan_rlimits
from atoll_agent.engine.signals import parse_signal
from atoll_agent.images.store import Image

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
    assert (filled["NetworkMode"], filled["ShmSize"], filled["IpcMode"]) == ("bridge", 64 << 20, "private")
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
