"""The files of a container as a tree that can be worked on from outside: its root with its volumes and binds.

A view is a descriptor of a root directory in a mount namespace of its own. A thread makes it: it leaves the process's
namespace (unshare), takes or mounts the root there, binds what belongs on top, makes it the namespace's root and ends;
nothing is left attached in any namespace in which something runs, and what the container does to its own mounts in the
meantime cannot redirect ours. Everything is then done by openat2 with RESOLVE_IN_ROOT below that descriptor.

A thread and not a forked child, as the agent has many threads: whatever lock another one holds at a fork stays locked
in the child for ever. Namespace and root belong to a thread in Linux, and the others do not notice. No path inside the
container is ever opened by the thread itself, nothing is imported or started in it, and it is never used again.

/proc, /sys, /dev and the file systems in memory are not part of it: they are the running container's, and writing to
them with the engine's rights would mean more than the container itself may.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from dataclasses import dataclass, field

from ..linux import mounts, processes
from . import rootfs
from .layers import mount_overlay
from .spec import MountSpec


@dataclass(frozen=True)
class ViewPlan:
    """What a view is made of.

    Attributes:
        mount_point: an empty directory of the engine.
        layers: read-only layer directories, topmost first.
        upper: the container's own directory.
        work: overlay's work directory, on the same file system.
        pid: of the running container's first process; 0 for one that does not run.
        cgroup: the end of the name of its cgroup; "" where there is none. Tells it from another that got its pid.
        writable: whether a container that does not run shall be written to; nobody else may mount it meanwhile.
        read_only: whether the root itself may not be written to.
        mounts: binds on top of the root, parents first.
    """

    mount_point: str
    layers: list[str]
    upper: str
    work: str
    pid: int = 0
    cgroup: str = ""
    writable: bool = False
    read_only: bool = False
    mounts: list[MountSpec] = field(default_factory=list)


class View:
    """An open view; a context manager.

    Attributes:
        root: descriptor of its root directory, for `open_in_root`.
    """

    def __init__(self, root: int, namespace: int) -> None:
        self.root, self._namespace = root, namespace

    def __enter__(self) -> View:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it up; with the last descriptor of its namespace the mounts go."""
        for descriptor in (self.root, self._namespace):
            if descriptor >= 0:
                os.close(descriptor)
        self.root = self._namespace = -1


def open_view(plan: ViewPlan) -> View:
    """Make a view.

    Raises:
        ProcessLookupError: the container has ended meanwhile.
        OSError: a mount failed; `filename` tells which, where it is known.
    """
    result: list[View | BaseException] = []

    def run() -> None:
        try:
            result.append(_make(plan))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run, name="view", daemon=True)
    thread.start()
    thread.join()
    (made,) = result
    if isinstance(made, View):
        return made
    raise made


def _make(plan: ViewPlan) -> View:
    processes.unshare(processes.CLONE_NEWNS)  # and so CLONE_FS: the root and the directory are this thread's own now
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_PRIVATE)
    namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root = -1
    try:
        place = os.open(plan.mount_point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            root = _running_root(plan, namespace) if plan.pid else _mount_root(plan, place)
            mounts.attach(root, place)
        finally:
            os.close(place)
        for mount in plan.mounts:
            # Its source is gone, or the container has put something else in its place: then it is not part of it.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                rootfs.make_mount(root, mount, rootfs.open_bind(mount))
        if plan.read_only:
            mounts.set_attributes(root, add=mounts.MOUNT_ATTR_RDONLY)
        mounts.pivot_into(root)
        # A directory on which nothing is mounted can be opened as one; the mount's own descriptor is only a path.
        return View(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), namespace)
    except BaseException:
        os.close(namespace)
        raise
    finally:
        if root >= 0:
            os.close(root)


def _running_root(plan: ViewPlan, own: int) -> int:
    """A detached mount of a running container's root alone, whatever it has mounted on top or made its root since."""
    try:
        process = os.open(f"/proc/{plan.pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
    try:
        if plan.cgroup and plan.cgroup not in _read(process, "cgroup"):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        theirs = os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    except FileNotFoundError as error:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
    finally:
        os.close(process)
    try:
        if os.path.samestat(os.fstat(theirs), os.stat("/proc/self/ns/mnt")):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        processes.setns(theirs, processes.CLONE_NEWNS)
    finally:
        os.close(theirs)
    try:
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            clone = mounts.open_tree(top)
        finally:
            os.close(top)
    finally:
        processes.setns(own, processes.CLONE_NEWNS)
    mounts.set_attributes(clone, propagation=mounts.MS_PRIVATE)
    return clone


def _read(directory: int, name: str) -> str:
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(file, 1 << 16).decode("utf-8", "replace")
    finally:
        os.close(file)


def _mount_root(plan: ViewPlan, place: int) -> int:
    """Mount the root of a container that does not run.

    To be read, its own directory is one more layer below a writable one in memory: mount points may have to be made,
    and another view, or the container's start, may mount the same directories at the same time.
    """
    if plan.writable:
        return mount_overlay(plan.layers, [("upperdir", plan.upper), ("workdir", plan.work)])
    scratch = mounts.fs_mount("tmpfs", [("mode", "700"), ("size", "4m")])
    try:
        mounts.attach(scratch, place)
        for name in ("upper", "work"):
            os.mkdir(name, 0o755, dir_fd=scratch)
    finally:
        os.close(scratch)
    upper, work = f"{plan.mount_point}/upper", f"{plan.mount_point}/work"
    return mount_overlay([plan.upper, *plan.layers], [("upperdir", upper), ("workdir", work)])
