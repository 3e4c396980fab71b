"""From a command line to the create request: what the engine is sent, whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from atoll.cli.options import read_options
from atoll.cli.request import build_create_request
from atoll.cli.run import run
from atoll.errors import ConfigError

ENVIRON = {"HOME_TOWN": "Bikini"}


def request_of(*words: str) -> dict[str, Any]:
    """Parse a command line as `atoll run` does and build the request."""
    with run.make_context("run", list(words)) as context:
        raw = dict(context.params)
    for name in ("name", "platform", "cidfile", "detach_keys", "sig_proxy"):
        raw.pop(name)
    return dict(build_create_request(read_options(raw), ENVIRON))


def base(**changes: Any) -> dict[str, Any]:
    """What a plain `run IMAGE` asks for."""
    return {
        "Image": "atoll/base",
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": False,
        "StdinOnce": False,
        "Tty": False,
        "HostConfig": {},
        **changes,
    }


STDIN = {"AttachStdin": True, "OpenStdin": True, "StdinOnce": True}

GOLDEN = [
    ("atoll/base", base()),
    ("atoll/base ls -l --rm", base(Cmd=["ls", "-l", "--rm"])),
    ("-it --rm atoll/base sh", base(**STDIN, Tty=True, Cmd=["sh"], HostConfig={"AutoRemove": True})),
    ("-d atoll/base", base(AttachStdout=False, AttachStderr=False)),
    ("-di atoll/base", base(AttachStdout=False, AttachStderr=False, OpenStdin=True)),
    ("-a stdout atoll/base", base(AttachStderr=False)),
    ("-i -a stdin atoll/base", base(**STDIN, AttachStdout=False, AttachStderr=False)),
    ("-e A=1 -e A=2 -e HOME_TOWN -e MISSING atoll/base", base(Env=["A=2", "HOME_TOWN=Bikini"])),
    (
        "-w /src -u 1000:100 -h box --domainname d atoll/base",
        base(WorkingDir="/src", User="1000:100", Hostname="box", Domainname="d"),
    ),
    ("--entrypoint sh atoll/base -c true", base(Entrypoint=["sh"], Cmd=["-c", "true"])),
    ("--entrypoint= atoll/base", base(Entrypoint=[""])),
    (
        "-v /a:/b:ro -v vol:/c -v /anon atoll/base",
        base(Volumes={"/anon": {}}, HostConfig={"Binds": ["/a:/b:ro", "vol:/c"]}),
    ),
    (
        "-m 64m --memory-swap -1 --cpus 1.5 -c 512 --cpuset-cpus 0-1 --pids-limit 100 atoll/base",
        base(
            HostConfig={
                "Memory": 64 << 20,
                "MemorySwap": -1,
                "NanoCpus": 1_500_000_000,
                "CpuShares": 512,
                "CpusetCpus": "0-1",
                "PidsLimit": 100,
            }
        ),
    ),
    ("--network none atoll/base", base(HostConfig={"NetworkMode": "none"})),
    ("--net=bridge atoll/base", base(HostConfig={"NetworkMode": "bridge"})),
    (
        "--read-only --cap-add NET_ADMIN --cap-drop ALL --security-opt no-new-privileges --privileged atoll/base",
        base(
            HostConfig={
                "ReadonlyRootfs": True,
                "CapAdd": ["NET_ADMIN"],
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Privileged": True,
            }
        ),
    ),
    (
        "--init --tmpfs /tmp:size=1m --tmpfs /run -l a=b --label c atoll/base",
        base(Labels={"a": "b", "c": ""}, HostConfig={"Init": True, "Tmpfs": {"/tmp": "size=1m", "/run": ""}}),
    ),
    ("--stop-signal QUIT --stop-timeout 3 atoll/base", base(StopSignal="QUIT", StopTimeout=3)),
    ("--rm=false --init=true --tty=false atoll/base --rm=false", base(Cmd=["--rm=false"], HostConfig={"Init": True})),
    (
        "--ulimit nofile=1024:2048 --shm-size 1g --sysctl net.ipv4.ip_forward=1 --restart on-failure:3 atoll/base",
        base(
            HostConfig={
                "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}],
                "ShmSize": 1 << 30,
                "Sysctls": {"net.ipv4.ip_forward": "1"},
                "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            }
        ),
    ),
    (
        "--mount type=bind,source=/a,target=/b,readonly --device /dev/fuse --device /dev/a:/dev/b:r atoll/base",
        base(
            HostConfig={
                "Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}],
                "Devices": [
                    {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
                    {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"},
                ],
            }
        ),
    ),
]


@pytest.mark.parametrize(("line", "wanted"), GOLDEN, ids=[line for line, _ in GOLDEN])
def test_create_request(line: str, wanted: dict[str, Any]) -> None:
    assert request_of(*line.split()) == wanted


@pytest.mark.parametrize(
    "line",
    [
        "-m lots atoll/base",
        "--cpus 1.0000000001 atoll/base",
        "--cpus . atoll/base",
        "-a stdlog atoll/base",
        "-d -a stdout atoll/base",
        "--rm --restart always atoll/base",
        "--restart sometimes atoll/base",
        "--restart always:3 atoll/base",
        "--cpus 1 --cpu-quota 1000 atoll/base",
        "--mount type=bind,source=/a atoll/base",
        "--mount type=bind,colour=red,target=/b atoll/base",
        "--ulimit nofile atoll/base",
        "--device /a:/b:c:d atoll/base",
        "-e =x atoll/base",
    ],
)
def test_flags_that_make_no_sense(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        request_of(*line.split())


def test_environment_file_comes_before_flags(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\nA=1\nB=with = sign\n\nHOME_TOWN\n", encoding="utf-8")
    assert request_of("--env-file", str(file), "-e", "A=2", "x")["Env"] == ["A=2", "B=with = sign", "HOME_TOWN=Bikini"]


def test_environment_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("two words=1\n", encoding="utf-8")
    for name in (file, tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match="environment file"):
            request_of("--env-file", str(name), "x")


def test_seccomp_profile_travels_as_json(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}', encoding="utf-8")
    host_config = request_of("--security-opt", f"seccomp={file}", "--security-opt", "seccomp=unconfined", "x")[
        "HostConfig"
    ]
    assert host_config["SecurityOpt"] == ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}', "seccomp=unconfined"]


def test_relative_source_is_made_absolute() -> None:
    assert request_of("-v", ".:/src", "x")["HostConfig"]["Binds"] == [f"{Path.cwd()}:/src"]


def test_unknown_flag_is_not_taken_for_the_image() -> None:
    with pytest.raises(click.UsageError):
        request_of("--bogus", "x")
