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
    ("-e A=1 -e A=2 -e HOME_TOWN -e MISSING atoll/base", base(Env=["A=2", "HOME_TOWN=Bikini", "MISSING"])),
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
                "CapAdd": ["CAP_NET_ADMIN"],
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
    (
        "-p 8080:80 -p 127.0.0.1:53:53/udp -p [::1]:0:90 -p 7 -P --expose 1-2/udp atoll/base",
        base(
            ExposedPorts={port: {} for port in ("80/tcp", "53/udp", "90/tcp", "7/tcp", "1/udp", "2/udp")},
            HostConfig={
                "PortBindings": {
                    "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
                    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
                    "90/tcp": [{"HostIp": "::1", "HostPort": "0"}],
                    "7/tcp": [{"HostIp": "", "HostPort": ""}],
                },
                "PublishAllPorts": True,
            },
        ),
    ),
    (
        "--network name=front,alias=web,ip=10.0.0.2 --network back --link db:d --dns-search x --dns-opt y atoll/base",
        base(
            HostConfig={"NetworkMode": "front", "Links": ["db:d"], "DnsSearch": ["x"], "DnsOptions": ["y"]},
            NetworkingConfig={
                "EndpointsConfig": {
                    "front": {"Aliases": ["web"], "Links": ["db:d"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}},
                    "back": {},
                }
            },
        ),
    ),
    (
        "--network n --network-alias a --network-alias b --ip 10.0.0.2 --ip6 fd00::2 --link-local-ip 169.254.1.1"
        " --mac-address 02:00:00:00:00:01 atoll/base",
        base(
            HostConfig={"NetworkMode": "n"},
            NetworkingConfig={
                "EndpointsConfig": {
                    "n": {
                        "Aliases": ["a", "b"],
                        "IPAMConfig": {
                            "IPv4Address": "10.0.0.2",
                            "IPv6Address": "fd00::2",
                            "LinkLocalIPs": ["169.254.1.1"],
                        },
                        "MacAddress": "02:00:00:00:00:01",
                    }
                }
            },
        ),
    ),
    (
        "--mac-address 02:00:00:00:00:01 --link db atoll/base",
        base(
            HostConfig={"Links": ["db"]},
            NetworkingConfig={"EndpointsConfig": {"default": {"MacAddress": "02:00:00:00:00:01"}}},
        ),
    ),
    (
        "--health-cmd true --health-interval 1m30s --health-timeout 500ms --health-retries 3"
        " --health-start-period 0 --health-start-interval 1.5s atoll/base",
        base(
            Healthcheck={
                "Test": ["CMD-SHELL", "true"],
                "Interval": 90 * 10**9,
                "Timeout": 5 * 10**8,
                "Retries": 3,
                "StartPeriod": 0,
                "StartInterval": 15 * 10**8,
            }
        ),
    ),
    ("--no-healthcheck atoll/base", base(Healthcheck={"Test": ["NONE"]})),
    (
        "--blkio-weight 300 --blkio-weight-device /dev/a:400 --device-read-bps /dev/a:1mb --device-write-bps /dev/a:7"
        " --device-read-iops /dev/a:8 --device-write-iops /dev/b:9 --memory-swappiness 0 --kernel-memory 4m"
        " --cpu-rt-period 10 --cpu-rt-runtime 5 atoll/base",
        base(
            HostConfig={
                "BlkioWeight": 300,
                "BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 400}],
                "BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1 << 20}],
                "BlkioDeviceWriteBps": [{"Path": "/dev/a", "Rate": 7}],
                "BlkioDeviceReadIOps": [{"Path": "/dev/a", "Rate": 8}],
                "BlkioDeviceWriteIOps": [{"Path": "/dev/b", "Rate": 9}],
                "MemorySwappiness": 0,
                "KernelMemory": 4 << 20,
                "CpuRealtimePeriod": 10,
                "CpuRealtimeRuntime": 5,
            }
        ),
    ),
    (
        "--runtime r --userns host --isolation default --storage-opt size=1g --annotation a=b --volume-driver d"
        " --volumes-from c:ro --use-api-socket --pull never -q --disable-content-trust atoll/base",
        base(
            HostConfig={
                "Runtime": "r",
                "UsernsMode": "host",
                "Isolation": "default",
                "StorageOpt": {"size": "1g"},
                "Annotations": {"a": "b"},
                "VolumeDriver": "d",
                "VolumesFrom": ["c:ro"],
                "Mounts": [{"Type": "bind", "Source": "/run/docker.sock", "Target": "/var/run/docker.sock"}],
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
        "-p 80:x atoll/base",
        "-p 70000 atoll/base",
        "-p 1-3:4-5 atoll/base",
        "-p 1.2.3:80:80 atoll/base",
        "-p 80/icmp atoll/base",
        "-p 80: atoll/base",
        "--expose 1:2 atoll/base",
        "--expose 9-1 atoll/base",
        "--network name=,alias=x atoll/base",
        "--network name=x,colour=red atoll/base",
        "--network host --network n atoll/base",
        "--network n --network n atoll/base",
        "--network host --network-alias x atoll/base",
        "--network name=n,ip=10.0.0.1 --ip 10.0.0.2 atoll/base",
        "--mac-address zz atoll/base",
        "--health-interval 5 atoll/base",
        "--health-timeout=-5s atoll/base",
        "--no-healthcheck --health-cmd true atoll/base",
        "--gpus all atoll/base",
        "--pull always atoll/base",
        "--pull sometimes atoll/base",
        "--memory-swappiness 101 atoll/base",
        "--blkio-weight-device /dev/a:5 atoll/base",
        "--device-read-bps a:5 atoll/base",
        "--device-read-iops /dev/a:5k atoll/base",
        "--device-cgroup-rule c atoll/base",
        "--storage-opt size atoll/base",
    ],
)
def test_flags_that_make_no_sense(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        request_of(*line.split())


def test_device_rule_has_spaces() -> None:
    assert request_of("--device-cgroup-rule", "c 10:* rwm", "x")["HostConfig"]["DeviceCgroupRules"] == ["c 10:* rwm"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("source=v,target=/b", {"Type": "volume", "Source": "v", "Target": "/b"}),
        ("type=tmpfs,dst=/t", {"Type": "tmpfs", "Target": "/t"}),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770}},
        ),
        (
            "type=bind,src=/a,dst=/b,ro,bind-propagation=rprivate,bind-recursive=readonly,consistency=cached",
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/b",
                "ReadOnly": True,
                "Consistency": "cached",
                "BindOptions": {"Propagation": "rprivate", "ReadOnlyForceRecursive": True},
            },
        ),
        (
            "type=bind,src=/a,dst=/b,readonly=false,bind-nonrecursive",
            {
                "Type": "bind",
                "Source": "/a",
                "Target": "/b",
                "ReadOnly": False,
                "BindOptions": {"NonRecursive": True},
            },
        ),
        (
            'src=v,dst=/b,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=type=nfs,"volume-opt=o=a,b",'
            "volume-subpath=s",
            {
                "Type": "volume",
                "Source": "v",
                "Target": "/b",
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {"a": "b"},
                    "DriverConfig": {"Name": "local", "Options": {"type": "nfs", "o": "a,b"}},
                    "Subpath": "s",
                },
            },
        ),
        (
            "type=image,src=i,dst=/b,image-subpath=s",
            {"Type": "image", "Source": "i", "Target": "/b", "ImageOptions": {"Subpath": "s"}},
        ),
    ],
)
def test_mount(text: str, wanted: dict[str, Any]) -> None:
    assert request_of("--mount", text, "x")["HostConfig"]["Mounts"] == [wanted]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "target=/b,source",
        "target=",
        "target=/b,tmpfs-size=1m",
        "target=/b,readonly=perhaps",
        "type=tmpfs,target=/b,tmpfs-mode=9",
        "type=bind,src=/a,dst=/b,bind-recursive=readonly",
        "type=bind,src=/a,dst=/b,bind-recursive=some",
        "target=/b, readonly",
        'target="/b',
    ],
)
def test_mount_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        request_of("--mount", text, "x")


def test_source_of_a_mount_may_be_a_path_from_here() -> None:
    mount = request_of("--mount", "type=bind,src=.,dst=/b", "x")["HostConfig"]["Mounts"][0]
    assert mount["Source"] == str(Path.cwd())


def test_labels_of_files_come_before_flags(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("# comment\na=1\nb=2\n", encoding="utf-8")
    assert request_of("--label-file", str(file), "-l", "a=3", "x")["Labels"] == {"a": "3", "b": "2"}


def test_environment_file_comes_before_flags(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\nA=1\nB=with = sign\n\nHOME_TOWN\nMISSING\n", encoding="utf-8")
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
