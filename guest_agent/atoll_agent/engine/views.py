"""The files of containers from outside: which tree is looked at, and how one finds a place in it."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..api.errors import AgentError, Kind, conflict, invalid, not_found
from ..linux.paths import open_in_root
from ..runtime.spec import MountSpec
from ..runtime.view import View, ViewPlan, open_view
from .containers import Containers
from .etc_files import plan_etc_mounts
from .records import Container

ATTEMPTS = 3
END_WAIT_S = 5.0
MAX_PATH = 4096


@dataclass(frozen=True)
class Place:
    """A file of a container.

    Attributes:
        name: its last component, as Docker calls it: `/` for the root, `.` where the path ends so.
        status: of a symlink itself.
        target: where a symlink leads in the end; "" for anything else.
        directory: descriptor of the directory itself, or of the one that holds it; the caller closes it.
        entry: its name in `directory`; "" for a directory.
    """

    name: str
    status: os.stat_result
    target: str
    directory: int
    entry: str


class Views:
    """Opens views of containers.

    Arguments:
        mount_point: an empty directory for mounting in namespaces of our own.
    """

    def __init__(self, containers: Containers, mount_point: Path) -> None:
        self._containers, self._mount_point = containers, mount_point
        mount_point.mkdir(parents=True, exist_ok=True)

    def open(self, container: Container, *, volumes: bool = True) -> View:
        """A view for reading; it needs no lock, and a container may start or end while it is open.

        Arguments:
            volumes: with its volumes and binds; otherwise only its root.
        """
        for _ in range(ATTEMPTS):
            pid = container.state.pid if container.running else 0
            try:
                return open_view(self._plan(container, pid, volumes=volumes, writable=False))
            except ProcessLookupError:
                self._wait_for_end(container, pid)
        raise conflict(f"container {container.id} starts and ends too often to be looked at")

    @contextmanager
    def writable(self, container: Container) -> Iterator[View]:
        """A view for writing. A container that does not run cannot be started meanwhile: its layer has one writer.

        The lock is never held for one that runs: news of its end would wait for it, and those of all others behind.
        """
        for _ in range(ATTEMPTS):
            if container.running:
                pid = container.state.pid
                try:
                    view = open_view(self._plan(container, pid, volumes=True, writable=True))
                except ProcessLookupError:
                    self._wait_for_end(container, pid)
                    continue
                with view:
                    yield view
                return
            with container.lock:
                if container.removed:
                    raise not_found(f"No such container: {container.id}")
                if container.running:
                    continue
                with open_view(self._plan(container, 0, volumes=True, writable=True)) as view:
                    yield view
                return
        raise conflict(f"container {container.id} starts and ends too often to be written to")

    @staticmethod
    def _wait_for_end(container: Container, pid: int) -> None:
        """It has ended, and we shall hear of it."""
        with container.changed:
            container.changed.wait_for(lambda: container.state.pid != pid, END_WAIT_S)

    def _plan(self, container: Container, pid: int, *, volumes: bool, writable: bool) -> ViewPlan:
        overlay = self._containers.store.overlay(container.id)
        return ViewPlan(
            mount_point=str(self._mount_point),
            layers=container.layers,
            upper=str(overlay / "upper"),
            work=str(overlay / "work"),
            pid=pid,
            cgroup=f"/{container.id}" if self._containers.hierarchy.parent else "",
            writable=writable,
            read_only=bool(container.host_config.get("ReadonlyRootfs")),
            mounts=self._mounts(container) if volumes else [],
        )

    def _mounts(self, container: Container) -> list[MountSpec]:
        asked = [mount for mount in self._containers.plan_mounts(container) if mount["kind"] == "bind"]
        taken = {mount["target"] for mount in asked}
        etc = plan_etc_mounts(self._containers.store.directory(container.id))
        own = [mount for mount in etc if mount["target"] not in taken and os.path.exists(mount["source"])]
        # Nothing that is mounted here shall be seen, or see, elsewhere.
        return own + [{**mount, "propagation": "rprivate"} for mount in asked]


def find_place(view: View, path: str, container: str) -> Place:
    """A path as Docker reads it: absolute, with `..` taken literally, a symlink followed only where a slash ends it.

    Raises:
        AgentError: it is not there.
    """
    if not path or "\0" in path or len(path) > MAX_PATH:
        raise invalid("bad parameter: path cannot be empty" if not path else "bad parameter: path is malformed")
    clean = posixpath.normpath("/" + path).replace("//", "/")
    follow = path.endswith(("/", "/.")) or clean == "/" or path == "."
    name = "." if path.endswith("/.") or path == "." else posixpath.basename(clean) or "/"
    try:
        return _find(view.root, clean, name, follow=follow)
    except FileNotFoundError as error:
        raise no_file(path, container) from error
    except OSError as error:
        raise explain(error, path) from error


def no_file(path: str, container: str) -> AgentError:
    """Docker's words for a path that is not there."""
    return not_found(f"Could not find the file {path} in container {container}")


def explain(error: OSError, path: str) -> AgentError:
    """What the kernel says of a path, told to the client."""
    client = error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV)
    return AgentError(Kind.INVALID if client else Kind.SYSTEM, f"{path}: {(error.strerror or '').lower()}")


def _find(root: int, clean: str, name: str, *, follow: bool) -> Place:
    if follow:
        directory = open_in_root(root, clean, os.O_RDONLY | os.O_DIRECTORY)
        return Place(name, os.fstat(directory), "", directory, "")
    head, _, last = clean.rpartition("/")
    parent = open_in_root(root, head, os.O_RDONLY | os.O_DIRECTORY)
    try:
        status = os.stat(last, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            directory = os.open(last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            os.close(parent)
            return Place(name, os.fstat(directory), "", directory, "")
        target = _resolve(root, parent, head, last) if stat.S_ISLNK(status.st_mode) else ""
    except BaseException:
        os.close(parent)
        raise
    return Place(name, status, target, parent, last)


def _resolve(root: int, parent: int, head: str, link: str) -> str:
    """Where a symlink leads in the end; as far as that can be said where it leads to nothing."""
    try:
        found = open_in_root(root, f"{head}/{link}")
    except OSError:
        return posixpath.normpath(posixpath.join(head or "/", os.readlink(link, dir_fd=parent))).replace("//", "/")
    try:
        return path_of(found)
    finally:
        os.close(found)


def path_of(descriptor: int) -> str:
    """The path of an open file within its own mount namespace."""
    return os.readlink(f"/proc/self/fd/{descriptor}")
