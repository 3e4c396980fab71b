"""The supervisor's side of starting a process: cgroup, pipes, clone, network interface.

What is made here is either handed to the new process or taken back when anything fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..linux import devices_bpf, processes
from ..linux.netlink import Netlink
from . import init, join
from .interfaces import give_interface
from .spec import CgroupSpec, ContainerSpec, DeviceRuleSpec, InterfaceSpec, ProcessSpec

NAMESPACE_FLAGS = {name: flag for name, flag in init.FLAGS.items() if name != "cgroup"}


@dataclass
class Launched:
    """A process that has been cloned and is on its way to its program.

    Attributes:
        pid: of the clone (of an exec's first, short-lived process).
        status: socket on which it reports.
        outputs: our end to stream number.
        stdin: our end of its input; -1 for none.
        interfaces: those it waits for.
    """

    pid: int
    status: socket.socket
    outputs: dict[int, int] = field(default_factory=dict)
    stdin: int = -1
    interfaces: list[InterfaceSpec] = field(default_factory=list)


class Filters:
    """Compiled seccomp filters and loaded device programs, kept for as long as the supervisor lives."""

    def __init__(self) -> None:
        self._seccomp: dict[str, bytes] = {}
        self._devices: dict[bytes, int] = {}

    def seccomp(self, path: str) -> bytes:
        """The filter in a file; files are named by content and never change."""
        if path and path not in self._seccomp:
            self._seccomp[path] = Path(path).read_bytes()
        return self._seccomp[path] if path else b""

    def devices(self, rules: list[DeviceRuleSpec]) -> int:
        """A loaded program for device rules."""
        program = devices_bpf.build_program([_device_rule(rule) for rule in rules])
        if program not in self._devices:
            if len(self._devices) > 64:
                os.close(self._devices.pop(next(iter(self._devices))))
            self._devices[program] = devices_bpf.load_program(program)
        return self._devices[program]


def _device_rule(rule: DeviceRuleSpec) -> devices_bpf.DeviceRule:
    major = rule["major"] if rule["major"] >= 0 else None
    minor = rule["minor"] if rule["minor"] >= 0 else None
    return devices_bpf.DeviceRule(rule["allow"], rule["type"], major, minor, rule["access"])


def make_cgroup(plan: CgroupSpec, filters: Filters) -> int:
    """Make and limit the cgroup; returns its directory's descriptor, or -1 where there is no cgroup v2.

    Raises:
        OSError: `filename` names the controller file that refused its value.
    """
    if not plan["path"]:
        return -1
    with contextlib.suppress(FileExistsError):
        os.makedirs(plan["path"])
    directory = os.open(plan["path"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name, value in plan["writes"]:
            _write_control(directory, name, value)
        if plan["devices"] is not None:
            devices_bpf.attach_program(directory, filters.devices(plan["devices"]))
    except BaseException:
        os.close(directory)
        remove_cgroup(plan["path"])
        raise
    return directory


def _write_control(directory: int, name: str, value: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"cannot set to {value!r}: {error.strerror}", name) from error
    finally:
        os.close(descriptor)


def kill_cgroup(path: str) -> None:
    """Kill all that is left in a cgroup (Linux 5.14)."""
    with contextlib.suppress(OSError):
        (Path(path) / "cgroup.kill").write_text("1")


def remove_cgroup(path: str) -> bool:
    """Remove an empty cgroup; False when it is still busy."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True


def _make_pipes(process: ProcessSpec) -> tuple[tuple[int, int, int], dict[int, int], int]:
    """Pipes for a process without a terminal: (its ends), {our end: stream}, our end of stdin."""
    if process["terminal"]:
        return (-1, -1, -1), {}, -1
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    error_read, error_write = os.pipe2(os.O_CLOEXEC)
    if process["stdin"]:
        in_read, in_write = os.pipe2(os.O_CLOEXEC)
    else:
        in_read, in_write = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
    return (in_read, out_write, error_write), {out_read: 1, error_read: 2}, in_write


def start_container(spec: ContainerSpec, filters: Filters, joins: dict[str, int]) -> Launched:
    """Clone a container's first process.

    Arguments:
        joins: namespaces of other containers that it enters: name and pidfd, which stays the caller's.

    Raises:
        OSError: what could not be made; nothing is left behind.
    """
    filter_ = filters.seccomp(spec["process"]["seccomp"])
    cgroup = make_cgroup(spec["cgroup"], filters)
    flags = sum(NAMESPACE_FLAGS[name] for name in spec["namespaces"] if name in NAMESPACE_FLAGS)

    def become(stdio: tuple[int, int, int], status: socket.socket) -> None:
        adjust_oom(spec["process"])
        init.run_container(spec, stdio, status, filter_, joins)

    def become_first(stdio: tuple[int, int, int], status: socket.socket) -> None:
        """A pid namespace takes in children only: enter it, and make the container's process there."""
        processes.prctl(processes.PR_SET_DUMPABLE, 0)
        processes.setns(joins["pid"], processes.CLONE_NEWPID)
        inner = processes.clone(flags | processes.CLONE_PARENT, cgroup=cgroup)
        if inner == 0:
            become(stdio, status)
        status.sendall(init.PID + inner.to_bytes(4, "big"))
        os._exit(0)

    try:
        if "pid" in joins:
            launched = _clone(spec["process"], 0, -1, become_first)
        else:
            launched = _clone(spec["process"], flags, cgroup, become)
    except OSError:
        if spec["cgroup"]["path"]:
            remove_cgroup(spec["cgroup"]["path"])
        raise
    finally:
        if cgroup >= 0:
            os.close(cgroup)
    launched.interfaces = spec["interfaces"]
    if "pid" not in joins:
        give_interfaces(launched, launched.pid)
    return launched


def start_exec(process: ProcessSpec, pid: int, namespaces: list[str], cgroup_path: str, filters: Filters) -> Launched:
    """Clone the first process of an exec into the container whose first process is `pid`."""
    filter_ = filters.seccomp(process["seccomp"])
    pidfd = processes.open_pidfd(pid)
    cgroup = os.open(cgroup_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if cgroup_path else -1

    def become(stdio: tuple[int, int, int], status: socket.socket) -> None:
        adjust_oom(process)
        join.run_exec(process, pidfd, namespaces, stdio, status, filter_)

    try:
        return _clone(process, 0, cgroup, become)
    finally:
        os.close(pidfd)
        if cgroup >= 0:
            os.close(cgroup)


def _clone(
    process: ProcessSpec, flags: int, cgroup: int, become: Callable[[tuple[int, int, int], socket.socket], None]
) -> Launched:
    theirs, outputs, stdin = _make_pipes(process)
    # Several processes may report on it at once, so each report must stay whole.
    ours_status, their_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = processes.clone(flags, cgroup=cgroup)
        if pid == 0:
            # The supervisor's end must not stay open here, or it would never see the end of the socket.
            try:
                ours_status.close()
                become(theirs, their_status)
            finally:
                os._exit(1)
    except OSError:
        for descriptor in (*outputs, stdin):
            if descriptor >= 0:
                os.close(descriptor)
        ours_status.close()
        raise
    finally:
        for descriptor in theirs:
            if descriptor >= 0:
                os.close(descriptor)
        their_status.close()
    ours_status.setblocking(False)
    return Launched(pid, ours_status, outputs, stdin)


def adjust_oom(process: ProcessSpec) -> None:
    """Set the process's standing with the OOM killer; before /proc is the container's."""
    if process["oom_score_adj"] is not None:
        Path("/proc/self/oom_score_adj").write_text(str(process["oom_score_adj"]))


def give_interfaces(launched: Launched, pid: int) -> None:
    """Make the veth pairs while init mounts, then let it go on; it reports a failure itself.

    Arguments:
        pid: the process in whose network namespace they belong.
    """
    if not launched.interfaces:
        return
    try:
        with Netlink() as netlink:
            for plan in launched.interfaces:
                give_interface(netlink, plan, pid)
        launched.status.send(init.NETWORK_READY)
    except OSError:
        with contextlib.suppress(OSError):
            launched.status.send(b"!")


def clean_work(spec: ContainerSpec) -> None:
    """Forget that a volatile overlay was mounted before, or the kernel refuses to mount it again."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(Path(spec["work"]) / "work" / "incompat")
