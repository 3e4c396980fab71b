"""Ways out of a container that engines have left open, tried on this one. Each test watches a tree of the host's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .archives import Member, directory, entry, load_image, symlink
from .canaries import attempt, watched
from .conftest import Engine

V2_ONLY = pytest.mark.skipif(not Path("/sys/fs/cgroup/cgroup.controllers").exists(), reason="needs cgroup v2")


@pytest.fixture
def canary(tmp_path: Path, engine: Engine) -> Iterator[Path]:
    """A tree of the host's that must be the same afterwards, and with it what the kernel was told."""
    with watched(engine, tmp_path / "canary") as root:
        yield root


# -- hostile images --------------------------------------------------------------------------


def hostile_links(canary: Path) -> dict[str, list[Member]]:
    outside = "../" * 20 + str(canary).lstrip("/")
    return {
        "dev": [symlink("dev", str(canary))],
        "dev-up": [symlink("dev", outside)],
        "dev-proc": [symlink("dev", "/proc")],
        "dev-sys": [symlink("dev", "/proc/sys")],
        "proc": [symlink("proc", "../../..")],
        "proc-canary": [symlink("proc", outside)],
        "sys": [symlink("sys", "/etc")],
        "sys-proc": [symlink("sys", "/proc")],
        "etc": [symlink("etc", outside)],
        "etc-proc": [symlink("etc", "/proc/self")],
        "null": [directory("dev"), symlink("dev/null", "/proc/sys/kernel/core_pattern")],
        "console": [directory("dev"), symlink("dev/console", f"{canary}/passwd"), symlink("dev/pts", str(canary))],
        "shm": [directory("dev"), symlink("dev/shm", str(canary)), symlink("dev/mqueue", "/proc")],
        "hosts": [directory("etc"), symlink("etc/hosts", f"{outside}/passwd")],
        "hostname": [directory("etc"), symlink("etc/hostname", f"{canary}/new")],
        "init": [symlink("usr/sbin/docker-init", f"{outside}/passwd")],
        "workdir": [symlink("place", outside)],
    }


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("kind", list(hostile_links(Path("/x"))))
def test_links_of_an_image_lead_nowhere(
    engine: Engine, base_archive: Path, canary: Path, kind: str, terminal: bool
) -> None:
    """CVE-2026-41579, CVE-2025-31133, CVE-2025-52565: what the engine mounts and makes stays inside, or it refuses."""
    load_image(engine, base_archive, f"hostile-{kind}", *hostile_links(canary)[kind])
    script = "echo x > /dev/null; echo x > /proc/sys/kernel/core_pattern; echo x > /etc/hosts; touch /place/x; true"
    host = {"Tmpfs": {"/run": ""}, "Binds": ["/dev/null:/etc/resolv.conf"]}
    workdir = {"WorkingDir": "/place/made/by"} if kind == "workdir" else {}
    attempt(engine, "sh", "-c", script, host=host, Tty=terminal, Image=f"hostile-{kind}", **workdir)
    engine.ok("DELETE", f"/images/hostile-{kind}", force=1)


@pytest.mark.parametrize("number", [3, 5, 7, 9, 12, 20])
def test_a_working_directory_of_an_image_is_no_descriptor(engine: Engine, base_archive: Path, number: int) -> None:
    """CVE-2024-21626."""
    load_image(engine, base_archive, "hostile-cwd", WorkingDir=f"/proc/self/fd/{number}")
    code, out = attempt(engine, "pwd", Image="hostile-cwd")
    assert code != 0, out


def test_an_exec_does_not_start_in_a_descriptor(engine: Engine) -> None:
    """CVE-2024-21626."""
    container = engine.running("sleep", "1000")
    for number in range(3, 40):
        code, out = engine.execute(container, "pwd", WorkingDir=f"/proc/self/fd/{number}")
        assert code != 0, (number, out)
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_no_descriptor_comes_along(engine: Engine) -> None:
    container = engine.running("sleep", "1000")
    assert set(engine.execute(container, "ls", "/proc/1/fd")[1].split()) == {"0", "1", "2"}
    assert set(engine.execute(container, "ls", "/proc/self/fd")[1].split()) <= {"0", "1", "2", "3"}
    engine.ok("DELETE", f"/containers/{container}", force=1)


def test_libraries_of_an_image_are_not_asked_for_its_users(engine: Engine, base_archive: Path, canary: Path) -> None:
    """CVE-2019-14271: names come from the files alone."""
    members = [
        directory("etc"),
        entry("etc/passwd", b"root:x:0:0::/root:/bin/sh\nalice:x:1234:55::/home:/bin/sh\n"),
        entry("etc/group", b"root:x:0:\nstaff:x:55:\nextra:x:77:alice\n"),
        entry("usr/lib/python3/encodings/idna.py", f"open('{canary}/x','w')".encode()),
        entry("usr/lib/x86_64-linux-gnu/libnss_files.so.2", b"\x7fELF nonsense", mode=0o755),
    ]
    load_image(engine, base_archive, "hostile-nss", *members)
    container = engine.running("sleep", "1000", Image="hostile-nss")
    assert engine.execute(container, "id", "-G", User="alice")[1] == "55 77\n"
    engine.ok("DELETE", f"/containers/{container}", force=1)


# -- /proc -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/self/attr", "/x/../proc/sys/kernel"])
def test_nothing_may_lie_over_proc(engine: Engine, target: str) -> None:
    """CVE-2025-52881, CVE-2019-19921."""
    for host in ({"Binds": [f"vol:{target}"]}, {"Tmpfs": {target: ""}}):
        status, answer = engine.call("POST", "/containers/create", {"Image": "atoll/base", "HostConfig": host})
        assert (status, "inside /proc" in answer["message"]) == (400, True)


@pytest.mark.parametrize("target", ["/link", "/link/sys", "/deep/link/self/attr"])
def test_nothing_may_lie_over_proc_by_a_symlink(engine: Engine, base_archive: Path, canary: Path, target: str) -> None:
    links = [symlink("link", "/proc"), directory("deep"), symlink("deep/link", "../proc")]
    load_image(engine, base_archive, "hostile-proc", *links)
    for host in ({"Binds": [f"{canary}:{target}"]}, {"Tmpfs": {target: ""}}):
        code, out = attempt(engine, "true", host=host, Image="hostile-proc")
        assert (code, "inside /proc" in out) == (-1, True), out


def test_files_of_proc_that_may_be_replaced(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("1.00 2.00\n")
    host = {"Binds": [f"{tmp_path}/uptime:/proc/uptime"]}
    assert attempt(engine, "cat", "/proc/uptime", host=host) == (0, "1.00 2.00\n")


def test_a_parameter_reaches_the_kernel_and_nothing_else(engine: Engine, base_archive: Path, canary: Path) -> None:
    """CVE-2025-52881: the file written is the kernel's, whatever the image has in its place."""
    members = [directory("proc/sys"), symlink("proc/sys/net", str(canary))]
    load_image(engine, base_archive, "hostile-sysctl", *members)
    name = "net.ipv4.ip_unprivileged_port_start"
    host = {"Sysctls": {name: "77"}, "Binds": [f"{canary}:/x"]}
    for image in ("atoll/base", "hostile-sysctl"):
        code, out = attempt(engine, "cat", "/proc/sys/" + name.replace(".", "/"), host=host, Image=image)
        assert (code, out) == (0, "77\n")


def test_masked_files_are_empty(engine: Engine) -> None:
    masked = " ".join(
        [
            *("/proc/" + name for name in ("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats")),
            *("/proc/" + name for name in ("sched_debug", "scsi", "timer_list", "timer_stats")),
            "/sys/devices/virtual/powercap /sys/firmware",
        ]
    )
    script = (
        f"for f in {masked}; do if [ -d $f ]; then ls -A $f; touch $f/x 2>/dev/null && echo writable $f; "
        "elif [ -e $f ]; then head -c 100 $f; fi; done; "
        'for f in bus fs irq sys sysrq-trigger; do grep " /proc/$f " /proc/self/mountinfo | grep -v " ro,"; done; true'
    )
    assert attempt(engine, "sh", "-c", script) == (0, "")


def test_a_machines_own_files_cannot_be_written(engine: Engine, canary: Path) -> None:
    files = "/proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper"
    script = f"for f in {files}; do echo x > $f; done"
    code, out = attempt(engine, "sh", "-c", script)
    assert code != 0
    assert out.count("Read-only file system") + out.count("nonexistent") + out.count("can't create") >= 3


# -- the terminal ----------------------------------------------------------------------------


def test_the_console_is_the_terminal(engine: Engine) -> None:
    """CVE-2025-52565."""
    code, out = _raw(engine, "stat -c %F /dev/console; grep ' /dev/console ' /proc/self/mountinfo; tty")
    assert code == 0
    kind, mount, tty = out.replace("\r", "").splitlines()
    assert (kind, tty) == ("character special file", "/dev/pts/0")
    assert " - devpts " in mount


def _raw(engine: Engine, script: str, **host: Any) -> tuple[int, str]:
    """Run with a terminal; its log is not framed."""
    container = engine.create("sh", "-c", script, Tty=True, host=host)
    engine.ok("POST", f"/containers/{container}/start")
    code = engine.ok("POST", f"/containers/{container}/wait")["StatusCode"]
    out = engine.ok("GET", f"/containers/{container}/logs", stdout=1, stderr=1)
    engine.ok("DELETE", f"/containers/{container}")
    return code, out.decode() if isinstance(out, bytes) else str(out)


# -- rights ----------------------------------------------------------------------------------

DEFAULT, NONE = 0xA80425FB, 0


def capabilities(text: str) -> list[int]:
    """Inheritable, permitted, effective, bounding, ambient."""
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return [int(fields[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")]


def own_capabilities() -> int:
    return capabilities(Path("/proc/self/status").read_text())[1]


@pytest.mark.parametrize(
    ("host", "options", "expected"),
    [
        ({}, {}, [0, DEFAULT, DEFAULT, DEFAULT, 0]),
        ({}, {"User": "1000"}, [0, NONE, NONE, DEFAULT, 0]),
        ({}, {"Privileged": True}, [0, -1, -1, -1, 0]),
        ({}, {"Privileged": True, "User": "1000"}, [0, NONE, NONE, -1, 0]),
        ({"CapDrop": ["ALL"]}, {}, [0, NONE, NONE, NONE, 0]),
        ({"CapDrop": ["ALL"], "CapAdd": ["NET_ADMIN"]}, {"User": "1000"}, [0, NONE, NONE, 1 << 12, 0]),
        ({"Privileged": True}, {}, [0, -1, -1, -1, 0]),
        ({"Privileged": True}, {"User": "1000"}, [0, NONE, NONE, -1, 0]),
    ],
)
def test_capabilities_of_run_and_exec(
    engine: Engine, host: dict[str, Any], options: dict[str, Any], expected: list[int]
) -> None:
    """CVE-2022-24769: nothing is inheritable, nothing ambient."""
    wanted = [own_capabilities() if mask < 0 else mask for mask in expected]
    container = engine.running("sleep", "1000", host=host)
    code, out = engine.execute(container, "cat", "/proc/self/status", **options)
    assert (code, capabilities(out)) == (0, wanted)
    engine.ok("DELETE", f"/containers/{container}", force=1)
    if "Privileged" not in options:
        user = {"User": options["User"]} if "User" in options else {}
        assert capabilities(attempt(engine, "cat", "/proc/self/status", host=host, **user)[1]) == wanted


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", [], "0 10"),
        ("alice", [], "55 77"),
        ("alice", ["88"], "55 77 88"),
        ("1000:1000", ["50"], "1000 50"),
        ("1000", ["extra"], "0 77"),
        ("1234:99", [], "99"),
        (":99", [], "99"),
    ],
)
def test_groups(engine: Engine, base_archive: Path, user: str, groups: list[str], expected: str) -> None:
    """CVE-2022-36109: the primary group is among them."""
    members = [
        directory("etc"),
        entry("etc/passwd", b"root:x:0:0::/root:/bin/sh\nalice:x:1234:55::/home:/bin/sh\n"),
        entry("etc/group", b"root:x:0:\nwheel:x:10:root\nstaff:x:55:\nextra:x:77:alice\n"),
    ]
    load_image(engine, base_archive, "with-groups", *members)
    _, out = attempt(engine, "id", "-G", host={"GroupAdd": groups}, User=user, Image="with-groups")
    assert sorted(out.split(), key=int) == sorted(expected.split(), key=int)


@V2_ONLY
@pytest.mark.parametrize("node", ["b 8 0", "b 254 0", "c 10 229", "c 1 1", "c 10 200"])
def test_devices_nobody_gave_do_not_open(engine: Engine, node: str) -> None:
    code, out = attempt(engine, "sh", "-c", f"mknod /tmp/node {node} && head -c1 /tmp/node")
    assert (code != 0, "Operation not permitted" in out) == (True, True)


def test_the_data_root_is_closed(engine: Engine) -> None:
    """CVE-2021-41091."""
    assert oct(engine.data_root.stat().st_mode & 0o7777) in ("0o710", "0o700")
    assert engine.data_root.stat().st_uid == 0
    assert not os.stat(engine.data_root / "overlay").st_mode & 0o007
