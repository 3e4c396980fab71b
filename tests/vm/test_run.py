"""Containers in a machine as a person at a shell gets them: from the very first command on."""

from __future__ import annotations

import hashlib
import os

import pytest

from .conftest import BASE, Home

RUN = ("run", "--rm", "--network", "none")


def test_first_runs_make_the_machine_and_prove_an_accelerator(home: Home) -> None:
    """Two commands at once, and no machine yet; /dev/kvm may be there and not work, and it comes up all the same."""
    with (
        home.start("run", "--rm", BASE, "echo", "hello") as one,
        home.start("run", "--rm", BASE, "echo", "hello") as two,
    ):
        assert (one.wait(), two.wait()) == (0, 0), one.stderr + two.stderr
        assert (one.stdout, two.stdout) == ("hello\n", "hello\n")
        assert (one.stderr + two.stderr).splitlines() == ["made machine default", "starting machine default"]
    again = home("run", "--rm", BASE, "echo", "hello again")
    assert (again.stdout, again.stderr) == (b"hello again\n", b"")
    chosen = home.json("machine", "inspect")[0]
    assert (chosen["Status"], chosen["Config"]["accelerator"]) == ("running", "auto")
    finding = next(row for row in home.json("doctor", "--format", "json") if row["name"] == "accelerator")
    assert finding["detail"].startswith(chosen["Accelerator"])
    if chosen["Accelerator"] == "tcg":
        assert finding["status"] == "warn"
        assert chosen["AcceleratorReason"] in finding["detail"]
        assert any(name in finding["detail"] for name in ("kvm: ", "hvf: ", "whpx: ")), finding
    assert home.json("machine", "ls", "--format", "json")["State"] == "running"


@pytest.mark.parametrize(
    ("command", "code", "complaint"),
    [
        (("sh", "-c", "exit 3"), 3, ""),
        (("sh", "-c", "kill -TERM $$; exit 4"), 4, ""),
        (("true",), 0, ""),
        (("/etc/passwd",), 126, "permission denied"),
        (("/etc",), 126, ""),
        (("no-such-command",), 127, "executable file not found"),
        (("/no/such/file",), 127, "no such file or directory"),
    ],
)
def test_exit_codes(machine: Home, command: tuple[str, ...], code: int, complaint: str) -> None:
    done = machine(*RUN, BASE, *command, code=code)
    assert done.stdout == b""
    assert complaint in done.stderr.decode()
    assert bool(done.stderr) == (code >= 125)


def test_failures_of_the_engine_are_125(machine: Home) -> None:
    done = machine(*RUN, "no/such-image", "true", code=125)
    assert "unable to find image 'no/such-image' locally" in done.stderr.decode()
    done = machine(*RUN, "--no-such-flag", BASE, "true", code=125)
    assert "no-such-flag" in done.stderr.decode()


def test_streams_stay_apart(machine: Home) -> None:
    done = machine(*RUN, BASE, "sh", "-c", "echo out; echo err >&2; echo out again")
    assert (done.stdout, done.stderr) == (b"out\nout again\n", b"err\n")


def test_stdin_is_passed_and_its_end_too(machine: Home) -> None:
    assert machine(*RUN, "-i", BASE, "cat", stdin=b"data\n").stdout == b"data\n"
    assert machine(*RUN, BASE, "cat", stdin=b"nobody asked for it").stdout == b""


def test_a_megabyte_through_stdin_and_back(machine: Home) -> None:
    data = os.urandom(1 << 20)
    assert machine(*RUN, "-i", BASE, "cat", stdin=data).stdout == data
    digest = machine.out(*RUN, "-i", BASE, "sha256sum", stdin=data).split()[0]
    assert digest == hashlib.sha256(data).hexdigest()


def test_environment_directory_and_user(machine: Home) -> None:
    text = machine.out(*RUN, "-e", "WORD=two words", "-w", "/tmp/made", "-u", "1000:2000", BASE,
                       "sh", "-c", "echo $WORD; pwd; id -u; id -g")  # fmt: skip
    assert text.splitlines() == ["two words", "/tmp/made", "1000", "2000"]


def test_volume_outlives_its_containers(machine: Home, name: str) -> None:
    machine(*RUN, "-v", f"{name}:/data", BASE, "sh", "-c", "echo kept > /data/file")
    assert machine.out(*RUN, "-v", f"{name}:/data:ro", BASE, "cat", "/data/file") == "kept"
    refused = machine(*RUN, "-v", f"{name}:/data:ro", BASE, "touch", "/data/file", code=1)
    assert "Read-only file system" in refused.stderr.decode()


def test_directory_of_the_machine_is_mounted(machine: Home, name: str) -> None:
    machine("machine", "ssh", "default", f"mkdir /tmp/{name}; echo theirs > /tmp/{name}/file")
    assert machine.out(*RUN, "-v", f"/tmp/{name}:/data", BASE, "cat", "/data/file") == "theirs"


def test_read_only_root(machine: Home) -> None:
    options = ("--read-only", "--tmpfs", "/scratch")
    done = machine(*RUN, *options, BASE, "sh", "-c", "touch /scratch/file && touch /file", code=1)
    assert done.stderr.decode().strip() == "touch: /file: Read-only file system"


def test_exec_and_logs(machine: Home, name: str) -> None:
    script = "echo begun; sleep 1000"
    machine("run", "-d", "--name", name, "--network", "none", "-e", "WORD=x", BASE, "sh", "-c", script)
    seen = machine.inside(name, "sh", "-c", "echo $WORD; hostname").splitlines()
    assert seen == ["x", machine.out("ps", "-q", "-f", f"name={name}")]
    machine("exec", name, "sh", "-c", "exit 5", code=5)
    assert machine("exec", "-i", name, "cat", stdin=b"data").stdout == b"data"
    assert machine.out("logs", name) == "begun"
    machine("rm", "-f", name)


def test_what_a_container_sees_is_not_the_machine(machine: Home) -> None:
    listing = machine(*RUN, BASE, "sh", "-c", "ls -d /proc/[0-9]* /dev/vd* /var/lib/atoll /run/atoll", code=1)
    assert listing.stdout.decode().split() == ["/proc/1"]
    assert listing.stderr.decode().count("No such file or directory") == 3


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("insmod /bin/busybox", "can't insert '/bin/busybox': Operation not permitted"),
        ("rmmod overlay", "can't unload module 'overlay': Operation not permitted"),
        ("mount -t tmpfs none /mnt", "permission denied"),
        ("mount -o remount,rw /sys", "permission denied"),
        ("echo b > /proc/sysrq-trigger", "Read-only file system"),
        ("echo 1 > /proc/sys/kernel/panic", "Read-only file system"),
        ("mkdir /sys/fs/cgroup/more", "Read-only file system"),
        ("date -s 2001-01-01", "can't set date: Operation not permitted"),
        ("reboot -f", "Operation not permitted"),
        ("dmesg", "klogctl: Operation not permitted"),
        ("hostname other", "sethostname: Operation not permitted"),
        ("unshare -m true", "unshare(0x20000): Operation not permitted"),
        ("ip link add dummy0 type dummy", "Operation not permitted"),
        ("nsenter -t 1 -m -F -- true", "can't reassociate to namespace 'mnt': Operation not permitted"),
    ],
)
def test_the_machine_is_not_for_containers_to_change(machine: Home, command: str, complaint: str) -> None:
    assert complaint in machine(*RUN, BASE, "sh", "-c", command, code=None).stderr.decode()
