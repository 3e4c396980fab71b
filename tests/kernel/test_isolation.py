"""What a container may see and do: the rows of Docker's defaults that need no race."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from .conftest import Engine

DEFAULT_MASK = "00000000a80425fb"


def status(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_default_capabilities_and_filter(engine: Engine) -> None:
    code, out = engine.run("cat", "/proc/self/status")
    fields = status(out)
    assert code == 0
    assert [fields[f"Cap{n}"] for n in ("Prm", "Eff", "Bnd")] == [DEFAULT_MASK] * 3
    assert [int(fields[f"Cap{n}"], 16) for n in ("Inh", "Amb")] == [0, 0]
    assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "0")


def test_a_user_that_is_not_root_holds_nothing(engine: Engine) -> None:
    _, out = engine.run("cat", "/proc/self/status", User="1000")
    fields = status(out)
    assert [int(fields[f"Cap{n}"], 16) for n in ("Prm", "Eff", "Inh", "Amb")] == [0, 0, 0, 0]
    assert fields["CapBnd"] == DEFAULT_MASK
    assert fields["Uid"].split() == ["1000"] * 4
    assert fields["Groups"].strip() == "0"


@pytest.mark.parametrize(
    ("host", "mask"),
    [
        ({"CapDrop": ["ALL"]}, 0),
        ({"CapDrop": ["ALL"], "CapAdd": ["NET_ADMIN"]}, 1 << 12),
        ({"CapAdd": ["CAP_SYS_PTRACE"]}, 0xA80425FB | 1 << 19),
        ({"CapDrop": ["mknod"]}, 0xA80425FB & ~(1 << 27)),
    ],
)
def test_capabilities_follow_the_request(engine: Engine, host: dict[str, list[str]], mask: int) -> None:
    _, out = engine.run("cat", "/proc/self/status", host=host)
    assert int(status(out)["CapBnd"], 16) == mask


def test_no_new_privileges(engine: Engine) -> None:
    _, out = engine.run("cat", "/proc/self/status", host={"SecurityOpt": ["no-new-privileges"]})
    assert status(out)["NoNewPrivs"] == "1"


def test_namespaces_are_its_own(engine: Engine) -> None:
    _, out = engine.run(
        "sh", "-c", "for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; ps | wc -l"
    )
    *inside, _count = out.split()
    outside = [os.readlink(f"/proc/self/ns/{n}") for n in ("mnt", "pid", "net", "ipc", "uts", "cgroup")]
    assert not set(inside) & set(outside)


def test_it_is_process_one_and_sees_no_other(engine: Engine) -> None:
    _, out = engine.run("sh", "-c", "echo $$; ls -d /proc/[0-9]*")
    assert out.split()[0] == "1"
    assert len([line for line in out.split() if line.startswith("/proc/")]) <= 2


def test_no_descriptor_is_inherited(engine: Engine) -> None:
    _, out = engine.run("sh", "-c", "ls /proc/1/fd; exec ls /proc/self/fd")
    assert set(out.split()) <= {"0", "1", "2", "3"}


@pytest.mark.parametrize("number", range(3, 24))
def test_a_working_directory_cannot_be_a_descriptor(engine: Engine, number: int) -> None:
    container = engine.create("ls", WorkingDir=f"/proc/self/fd/{number}")
    code, answer = engine.call("POST", f"/containers/{container}/start")
    assert code >= 400, answer
    assert engine.call("GET", "/_ping")[0] == 200


def test_masked_and_read_only_paths(engine: Engine) -> None:
    code, out = engine.run(
        "sh",
        "-c",
        "cat /proc/interrupts /proc/timer_list | wc -c; ls /sys/firmware | wc -l; "
        "echo x > /proc/sys/kernel/core_pattern",
    )
    assert out.split()[:2] == ["0", "0"]
    assert code != 0
    assert "Read-only file system" in out


def test_mknod_works_but_the_disk_does_not_open(engine: Engine) -> None:
    major, minor = os.major(os.stat("/").st_dev), os.minor(os.stat("/").st_dev)
    code, out = engine.run("sh", "-c", f"mknod /tmp/disk b {major} {minor} && head -c1 /tmp/disk")
    assert code != 0
    assert "Operation not permitted" in out


@pytest.mark.parametrize("command", ["mount -t tmpfs x /mnt", "unshare -m true", "hostname x"])
def test_refused_calls(engine: Engine, command: str) -> None:
    code, _ = engine.run("sh", "-c", f"mkdir -p /mnt; {command}")
    assert code != 0


def test_a_read_only_root(engine: Engine) -> None:
    code, out = engine.run("sh", "-c", "echo x > /dev/shm/y && echo x > /file", host={"ReadonlyRootfs": True})
    assert code != 0
    assert "Read-only file system" in out


def test_mounts_show_no_path_of_the_host_but_the_known_ones(engine: Engine) -> None:
    _, out = engine.run("cat", "/proc/self/mountinfo")
    targets = [line.split()[4] for line in out.splitlines()]
    assert targets[0] == "/"
    assert {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/etc/hosts", "/etc/hostname"} <= set(
        targets
    )
    assert all("shared:" not in line for line in out.splitlines())


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc"])
def test_an_image_whose_directories_are_symlinks_stays_inside(engine: Engine, name: str, tmp_path: Path) -> None:
    """CVE-2026-41579, CVE-2025-31133: mount points are made inside the root or not at all."""
    canary = tmp_path / "host"
    canary.mkdir()
    before = sorted(p.name for p in canary.iterdir())
    script = f"rm -rf /{name}; ln -s {canary} /{name}"
    container = engine.create("/bin/sh", "-c", script)
    overlay = engine.data_root / "overlay" / container / "upper"
    (overlay / name).symlink_to(canary)
    status_, _ = engine.call("POST", f"/containers/{container}/start")
    if status_ < 300:
        engine.ok("POST", f"/containers/{container}/wait")
    assert sorted(p.name for p in canary.iterdir()) == before
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_the_interpreter_cannot_be_written(engine: Engine) -> None:
    """CVE-2019-5736: a container whose program is /proc/self/exe is the supervisor's Python, on a read-only mount."""
    container = engine.create("/proc/self/exe", "-c", "open('/proc/self/exe', 'r+b')")
    status_, _ = engine.call("POST", f"/containers/{container}/start")
    if status_ < 300:
        assert engine.ok("POST", f"/containers/{container}/wait")["StatusCode"] != 0
    engine.ok("DELETE", f"/containers/{container}", force=1)
    mountinfo = Path(f"/proc/{engine.supervisor_pid}/mountinfo").read_text()
    exe = os.readlink(f"/proc/{engine.supervisor_pid}/exe")
    assert any(line.split()[4] == exe and line.split()[5].startswith("ro") for line in mountinfo.splitlines())


def test_a_privileged_container_sees_the_machines_devices(engine: Engine) -> None:
    code, out = engine.run("sh", "-c", "ls /dev/ | sort; test -L /dev/ptmx", host={"Privileged": True})
    assert code == 0
    ours = {name for name in os.listdir("/dev") if stat.S_ISCHR(os.lstat(f"/dev/{name}").st_mode)}
    assert ours - {"console"} <= set(out.split())


def test_an_exec_has_the_containers_limits_and_a_privileged_one_its_filter(engine: Engine) -> None:
    container = engine.running("sleep", "100", host={"Ulimits": [{"Name": "nofile", "Soft": 77, "Hard": 99}]})
    assert engine.execute(container, "sh", "-c", "ulimit -n; ulimit -Hn") == (0, "77\n99\n")
    code, out = engine.execute(container, "grep", "-E", "CapEff|Seccomp:", "/proc/self/status", Privileged=True)
    assert code == 0
    capabilities, filtered = (line.split()[1] for line in out.splitlines())
    assert int(capabilities, 16) >> 21 & 1 and filtered == "2"  # CAP_SYS_ADMIN, and yet the container's filter
    engine.ok("DELETE", f"/containers/{container}", force=1)
