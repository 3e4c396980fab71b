"""The first instructions of a container: from a fresh clone of the supervisor to the exec of its program.

Runs inside the new namespaces, as the single thread of a forked Python. Nothing is imported and no program is started
once the root has changed. On failure `Failed` goes to the supervisor on the status socket; success closes the socket
by exec. A terminal's master side travels the same way.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
import termios
from typing import NoReturn

from ..linux import capabilities, links, mounts, processes, seccomp, syscalls
from ..linux.netlink import Netlink
from ..linux.paths import make_directories, open_in_root
from . import resolver_socket, rootfs
from .interfaces import configure_interface
from .spec import ContainerSpec, ProcessSpec
from .users import Identity, UnknownUser, find_identity

TERMINAL = b"T"
FAILED = b"F"
RESOLVER = b"R"
NETWORK_READY = b"n"

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_STATUS = 4096
TIOCGPTPEER = 0x5441
FLAGS = {
    "mnt": processes.CLONE_NEWNS,
    "pid": processes.CLONE_NEWPID,
    "net": processes.CLONE_NEWNET,
    "ipc": processes.CLONE_NEWIPC,
    "uts": processes.CLONE_NEWUTS,
    "cgroup": processes.CLONE_NEWCGROUP,
}
PID = b"P"
TIOCSPTLCK = 0x40045431


class Stage:
    """The step that is being carried out, for the error message."""

    def __init__(self) -> None:
        self.name = "prepare"


def run_container(
    spec: ContainerSpec, stdio: tuple[int, int, int], status: socket.socket, filter_: bytes, joins: dict[str, int]
) -> NoReturn:
    """Become the container's first process; never returns.

    Arguments:
        stdio: our ends of its pipes; all -1 when it gets a terminal.
        status: socket to the supervisor.
        filter_: compiled seccomp filter; b"" for none.
        joins: namespaces of other containers to enter: name and the pidfd of a process there.
    """
    stage = Stage()
    try:
        become_clean()
        stage.name = "join namespaces"
        shared_memory = _enter(joins)
        last = capabilities.last_capability()
        root = _build_world(spec, stage)
        if shared_memory >= 0:
            stage.name = "mount /dev/shm"
            rootfs.attach_directory(root, shared_memory, "/dev/shm")
        process = spec["process"]
        stage.name = "resolve user"
        identity = find_identity(root, process["user"], process["groups"])
        stage.name = f"working directory {process['cwd']}"
        cwd = make_directories(root, process["cwd"] or "/")
        stage.name = "terminal" if process["terminal"] else "stdio"
        take_stdio(process, stdio, status, root, console=True)
        if "net" in spec["namespaces"]:
            stage.name = "network"
            _configure_network(spec, status)
        _finish_root(spec, root, stage)
        stage.name = "pivot_root"
        mounts.pivot_into(root)
        become_program(process, identity, cwd, filter_, stage, last)
    except BaseException as error:
        report(status, stage.name, error)
    os._exit(1)


def _enter(joins: dict[str, int]) -> int:
    """Enter the namespaces of other containers; returns a mount of the shared memory of one whose IPC is shared."""
    shared_memory = -1
    if "ipc" in joins:
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        processes.setns(joins["ipc"], processes.CLONE_NEWNS)
        place = os.open("/dev/shm", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        shared_memory = mounts.open_tree(place)
        os.close(place)
        processes.setns(own, processes.CLONE_NEWNS)
        os.close(own)
    for name, pidfd in joins.items():
        if name != "pid":  # of which only children are members: see `launch`
            processes.setns(pidfd, FLAGS[name])
    return shared_memory


def become_clean() -> None:
    """Undo what the supervisor set up for itself."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    processes.prctl(processes.PR_SET_DUMPABLE, 0)
    processes.close_on_exec_from(3)
    os.setsid()
    os.umask(0o022)


def _build_world(spec: ContainerSpec, stage: Stage) -> int:
    if "cgroup" in spec["namespaces"]:
        stage.name = "cgroup namespace"
        processes.unshare(processes.CLONE_NEWCGROUP)
    if "uts" in spec["namespaces"]:
        stage.name = "host name"
        socket.sethostname(spec["hostname"])
        if spec["domainname"]:
            _set_domain_name(spec["domainname"])
    stage.name = "mount root"
    root = rootfs.make_root(spec)
    sources = _open_sources(spec, stage)
    stage.name = "mount root"
    rootfs.attach_root(root, spec["mount_point"])
    for plan, source in zip(spec["mounts"], sources, strict=True):
        stage.name = f"mount {plan['target']}"
        rootfs.make_mount(root, plan, source)
    stage.name = "devices"
    if not any(m["kind"] == "bind" and m["target"] == "/dev" for m in spec["mounts"]):
        rootfs.make_devices(root, spec["devices"])
    return root


def _open_sources(spec: ContainerSpec, stage: Stage) -> list[int]:
    """What comes from outside, as detached mounts (-1 for new file systems); then nothing does any more."""
    sources = [-1] * len(spec["mounts"])
    for index, plan in enumerate(spec["mounts"]):
        if plan["kind"] == "bind":
            stage.name = f"mount {plan['target']}"
            sources[index] = rootfs.open_bind(plan)
    stage.name = "mount propagation"
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_PRIVATE)
    for index, plan in enumerate(spec["mounts"]):
        if plan["kind"] == "image":
            stage.name = f"mount {plan['target']}"
            sources[index] = rootfs.open_image(plan, spec["mount_point"])
    return sources


def _set_domain_name(name: str) -> None:
    syscalls.check(syscalls.libc.setdomainname(name.encode(), len(name)), name)


def _finish_root(spec: ContainerSpec, root: int, stage: Stage) -> None:
    if spec["sysctls"]:
        stage.name = "sysctl"
        rootfs.write_sysctls(root, spec["sysctls"])
    stage.name = "masked paths"
    null = rootfs.open_null()
    rootfs.hide_paths(root, spec["masked"], null)
    os.close(null)
    stage.name = "read-only paths"
    rootfs.protect_paths(root, spec["read_only_paths"])
    if spec["read_only"]:
        stage.name = "read-only root"
        mounts.set_attributes(root, add=mounts.MOUNT_ATTR_RDONLY)


def take_stdio(
    process: ProcessSpec, stdio: tuple[int, int, int], status: socket.socket, root: int, *, console: bool
) -> None:
    """Put stdin, stdout and stderr in place; with a terminal, make one in the container's own devpts."""
    if process["terminal"]:
        multiplexer = open_in_root(root, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(multiplexer, TIOCSPTLCK, struct.pack("i", 0))
        # The peer by ioctl, not by its path: the path belongs to the container.
        slave = fcntl.ioctl(multiplexer, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        if process["height"] and process["width"]:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", process["height"], process["width"], 0, 0))
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        if console:
            _bind_console(root, slave)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [multiplexer]))]
        status.sendmsg([TERMINAL], rights)
        os.close(multiplexer)
        stdio = (slave, slave, slave)
    # Copies above 2 first: one of the ends may itself be 0, 1 or 2.
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3) for descriptor in stdio]
    for number, descriptor in enumerate(copies):
        os.dup2(descriptor, number)


def _bind_console(root: int, slave: int) -> None:
    """/dev/console is the terminal itself, bound by descriptor (CVE-2025-52565)."""
    clone = mounts.open_tree(slave)
    rootfs_target = os.open("dev", os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        made = os.open("console", os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=rootfs_target)
        mounts.attach(clone, made)
        os.close(made)
    except FileExistsError:
        pass
    finally:
        os.close(rootfs_target)
        os.close(clone)


def _configure_network(spec: ContainerSpec, status: socket.socket) -> None:
    """Wait for the interfaces and configure them from inside."""
    if spec["interfaces"] and status.recv(1) != NETWORK_READY:
        raise OSError(errno.ENETDOWN, "the interfaces could not be made", spec["interfaces"][0]["host_name"])
    with Netlink() as netlink:
        links.set_up(netlink, 1)
        for plan in spec["interfaces"]:
            configure_interface(netlink, plan)
    if spec["resolver"]:
        resolver_socket.offer(status, RESOLVER)


def become_program(
    process: ProcessSpec, identity: Identity, cwd: int, filter_: bytes, stage: Stage, last: int
) -> NoReturn:
    """Confine this process and exec; `last` is the kernel's highest capability."""
    stage.name = "working directory"
    os.fchdir(cwd)
    if not os.getcwd().startswith("/"):
        raise OSError(errno.ENOENT, "outside of the container", process["cwd"])
    confine(process, identity, last, filter_, stage)
    environment = list(process["env"])
    if not any(item.startswith("HOME=") for item in environment):
        environment.append(f"HOME={identity.home}")
    stage.name = "exec"
    execute(process["args"], dict(item.split("=", 1) for item in environment if "=" in item))


def confine(process: ProcessSpec, identity: Identity, last: int, filter_: bytes, stage: Stage) -> None:
    """Limits, identity, capabilities and the seccomp filter, in the only order that works.

    Without no_new_privs installing a filter takes CAP_SYS_ADMIN, so it comes before the capabilities go; with it, it
    comes last so that the filter has the fewest calls to allow.
    """
    stage.name = "limits"
    for number, soft, hard in process["rlimits"]:
        resource.setrlimit(number, (soft, hard))
    for descriptor in (0, 1, 2):
        if identity.uid and not _is_null(descriptor):
            os.fchown(descriptor, identity.uid, -1)
    everything = (1 << last + 1) - 1
    keep = process["capabilities"] & everything
    if keep == everything:  # all of them means all that there are to give: the engine itself may have been given less
        keep &= capabilities.read_bounding(last)
    if process["no_new_privileges"]:
        processes.prctl(processes.PR_SET_NO_NEW_PRIVS, 1)
    elif filter_:
        stage.name = "seccomp"
        seccomp.install_filter(filter_)
    stage.name = "capabilities"
    capabilities.drop_bounding(keep, last)
    processes.prctl(processes.PR_SET_KEEPCAPS, 1)
    stage.name = "user"
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    held = 0 if identity.uid else keep
    capabilities.set_sets(held, held)
    if process["no_new_privileges"] and filter_:
        stage.name = "seccomp"
        seccomp.install_filter(filter_)
    # Credential changes clear it, so it comes last: no container outlives its supervisor unowned.
    processes.prctl(processes.PR_SET_PDEATHSIG, signal.SIGKILL)


def _is_null(descriptor: int) -> bool:
    return os.fstat(descriptor).st_rdev == os.makedev(1, 3)


def execute(args: list[str], environment: dict[str, str]) -> NoReturn:
    """Exec a program sought in the environment's PATH, as a shell would.

    Raises:
        OSError: ENOENT when there is none; else the last error that was not "not there".
    """
    program = args[0]
    if "/" in program:
        os.execve(program, args, environment)
    seen: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    for directory in environment.get("PATH", DEFAULT_PATH).split(":"):
        try:
            os.execve(f"{directory or '.'}/{program}", args, environment)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                seen = error
    raise seen


def report(status: socket.socket, stage: str, error: BaseException) -> None:
    """Tell the supervisor what failed."""
    if isinstance(error, OSError):
        detail = f"{error.filename}: {error.strerror}" if error.filename and stage != "exec" else f"{error.strerror}"
        failed = {"stage": stage, "errno": error.errno or 0, "detail": detail}
    else:
        failed = {"stage": stage, "errno": 0, "detail": f"{error}" or type(error).__name__}
    if not isinstance(error, (OSError, UnknownUser)):
        sys.excepthook(type(error), error, error.__traceback__)
    status.sendall(FAILED + json.dumps(failed).encode()[: MAX_STATUS - 1])
