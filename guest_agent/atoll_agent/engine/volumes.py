"""The volumes of containers: made and filled when a container is made, mounted while it runs, released when it goes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from typing import Any

from ..api.errors import AgentError, Kind, invalid, not_found
from ..disk import sync_file_system
from ..images.store import ImageStore
from ..linux.mountinfo import MountEntry, mount_of, read_mountinfo
from ..linux.paths import open_in_root
from ..runtime.layers import open_layers
from ..volumes.mounting import Mounting
from ..volumes.options import needs_mount
from ..volumes.populate import OPEN_DIRECTORY, copy_tree, empty, is_empty
from ..volumes.store import Volume, VolumeStore
from .events import Events
from .mount_points import DOCKER_SOCKETS, Point, options_of, subpath_of
from .mounts import copies_up, is_anonymous
from .records import Container


class Volumes:
    """All volumes, for the containers that use them.

    Arguments:
        socket: where this engine's API answers; what a container that asks for Docker's socket gets where there is
            no other.
    """

    def __init__(
        self, store: VolumeStore, images: ImageStore, events: Events, mounting: Mounting, *, socket: str = ""
    ) -> None:
        self.store, self._images, self._events = store, images, events
        self._mounting, self._socket = mounting, socket

    # -- by name -----------------------------------------------------------------------------

    def create(
        self, name: str, driver: str, labels: dict[str, str] | None, options: dict[str, str] | None, *, holder: str = ""
    ) -> Volume:
        """Make a volume, or find it.

        Raises:
            AgentError: an invalid name or option, or another driver than `local`.
        """
        try:
            if driver not in ("", "local"):
                raise not_found(f'error looking up volume plugin {driver[:80]}: plugin "{driver[:80]}" not found')
            volume, new = self.store.ensure(name, labels, options, holder=holder)
        except AgentError as error:
            raise AgentError(error.kind, f"create {name[:255]}: {error.message}") from error
        if new:
            self._tell(volume.name, "create", {"driver": "local"})
        return volume

    def remove(self, name: str) -> None:
        """Remove a volume.

        Raises:
            AgentError: in use, or there is none.
        """
        self.store.remove(name)
        self._tell(name, "destroy", {"driver": "local"})

    def tell_pruned(self, reclaimed: int) -> None:
        """Volumes that nobody used have been removed."""
        self._tell("", "prune", {"reclaimed": str(reclaimed)})

    def _tell(self, name: str, action: str, attributes: dict[str, str]) -> None:
        self._events.publish("volume", action, name, attributes)

    # -- while a container is made -----------------------------------------------------------

    def maker(self, container_id: str) -> _Maker:
        """What `plan_points` needs, for one container."""
        return _Maker(self, self._images, container_id)

    def fill(self, container: Container) -> None:
        """Fill its empty volumes with what the image has at their places.

        Raises:
            AgentError: a volume cannot be mounted, or lies over a file.
        """
        points = [point for point in container.mounts if copies_up(point)]
        if not points:
            return
        tree = open_layers(container.layers)
        try:
            for point in points:
                self._fill(container.id, point, tree)
        finally:
            os.close(tree)

    def _fill(self, container_id: str, point: Point, tree: int) -> None:
        source = _find_directory(tree, point)
        if source < 0:
            return
        volume = self.store.get(point["Name"])
        try:
            self._mounting.mount(volume, container_id)
            try:
                subpath = subpath_of(point["Spec"])
                target = open_part(str(volume.path), subpath)
                try:
                    self._copy(volume, source, target, own=not (subpath or needs_mount(volume.options)))
                finally:
                    os.close(target)
            finally:
                self._mounting.unmount(volume, container_id)
        except FileNotFoundError:
            return  # the part of the volume that is to be mounted is not there: the start will tell
        except AgentError as error:
            raise AgentError(error.kind, f"failed to populate volume: {error.message}") from error
        finally:
            os.close(source)

    def _copy(self, volume: Volume, source: int, target: int, *, own: bool) -> None:
        if not is_empty(target):
            return
        if is_empty(source):
            copy_tree(source, target)
            return
        with self.store.filling(volume) if own else contextlib.nullcontext():
            try:
                copy_tree(source, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    empty(target)
                raise
            sync_file_system(volume.path)

    # -- while it runs -----------------------------------------------------------------------

    def mount(self, container: Container) -> None:
        """Make ready what it mounts: sources of binds are made, volumes mounted.

        Raises:
            AgentError: in Docker's words.
        """
        try:
            for point in container.mounts:
                if point["Type"] == "bind":
                    self._prepare_bind(point)
                elif point["Type"] == "volume":
                    self._mount(container, point)
        except BaseException:
            self.unmount(container)
            raise

    def _prepare_bind(self, point: Point) -> None:
        source = self.source_of(point)
        if options_of(point.get("Spec") or {}, "BindOptions").get("CreateMountpoint"):
            try:
                os.makedirs(source, exist_ok=True)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTDIR):
                    text = (error.strerror or "").lower()
                    raise AgentError(
                        Kind.SYSTEM, f"error while creating mount source path '{source}': mkdir {source}: {text}"
                    ) from error
        if not point["Propagation"].endswith("private"):
            check_propagation(source, point["Propagation"], read_mountinfo())

    def source_of(self, point: Point) -> str:
        """Where a bind comes from: Docker's socket is this engine's where no other is there."""
        source: str = point["Source"]
        if source in DOCKER_SOCKETS and self._socket and not os.path.exists(source):
            return self._socket
        return source

    def _mount(self, container: Container, point: Point) -> None:
        volume = self.store.get(point["Name"])
        self._mounting.mount(volume, container.id)
        if subpath := subpath_of(point.get("Spec") or {}):
            try:
                os.close(open_part(str(volume.path), subpath))
            except OSError as error:
                text = (error.strerror or "").lower()
                raise not_found(f"cannot access path {volume.path}/{subpath}: {text}") from error
        attributes = {
            "container": container.id,
            "destination": point["Destination"],
            "driver": "local",
            "propagation": point["Propagation"],
            "read/write": "true" if point["RW"] else "false",
        }
        self._tell(volume.name, "mount", attributes)

    def tell_unmounted(self, container: Container, volumes: list[Volume]) -> None:
        """Volumes have been unmounted."""
        for volume in volumes:
            self._tell(volume.name, "unmount", {"container": container.id, "driver": "local"})

    def unmount(self, container: Container) -> list[Volume]:
        """It has ended; returns its volumes."""
        names = [point["Name"] for point in container.mounts if point["Type"] == "volume"]
        volumes = [volume for name in names if (volume := self.store.find(name))]
        for volume in volumes:
            self._mounting.unmount(volume, container.id)
        return volumes

    def recover(self, containers: Iterable[Container]) -> None:
        """After a restart of the agent: who runs needs its volumes, and nobody else does."""
        users: dict[str, set[str]] = {}
        for container in containers:
            if container.running:
                for point in container.mounts:
                    users.setdefault(str(point.get("Name") or ""), set()).add(container.id)
        self._mounting.recover(self.store.all(), users)

    # -- when it goes ------------------------------------------------------------------------

    def hold(self, container: Container) -> None:
        """A container of an earlier life of the agent uses its volumes."""
        for point in container.mounts:
            if point["Type"] == "volume":
                self.store.hold(point["Name"], container.id)

    def release(self, container: Container, *, anonymous: bool) -> None:
        """A container is gone.

        Arguments:
            anonymous: whether its volumes without a name go with it, where no other uses them.
        """
        self.store.release(container.id)
        for point in container.mounts if anonymous else ():
            if is_anonymous(point):
                with contextlib.suppress(AgentError):
                    self.remove(point["Name"])


class _Maker:
    """Makes what the mount points of one container name."""

    def __init__(self, volumes: Volumes, images: ImageStore, container_id: str) -> None:
        self._volumes, self._images, self._id = volumes, images, container_id

    def ensure_volume(
        self, name: str, driver: str, labels: dict[str, str] | None, options: dict[str, str] | None
    ) -> dict[str, Any]:
        """A volume in Docker's shape, held by the container from now on."""
        return self._volumes.create(name, driver, labels, options, holder=self._id).describe()

    def find_image(self, name: str) -> tuple[str, str]:
        """An image's id, and the directory of its topmost layer."""
        image = self._images.get(name)
        return image.id, self._images.layer_directories(image)[0]


def _find_directory(tree: int, point: Point) -> int:
    """The directory of an image at a point's place; -1 where there is nothing to copy.

    Raises:
        AgentError: a volume that only the image asks for would lie over a file.
    """
    try:
        found = open_in_root(tree, point["Destination"], os.O_PATH)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return -1
        raise
    try:
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            if is_anonymous(point) and not point["Mode"]:
                path = point["Destination"]
                raise invalid(f"cannot mount volume over existing file, file exists {path}")
            return -1
        return os.open(".", OPEN_DIRECTORY, dir_fd=found)
    finally:
        os.close(found)


def open_part(path: str, subpath: str) -> int:
    """A directory of a volume, whose symlinks cannot lead out of it."""
    whole = os.open(path, OPEN_DIRECTORY)
    if not subpath:
        return whole
    try:
        return open_in_root(whole, subpath, os.O_RDONLY)
    finally:
        os.close(whole)


def check_propagation(source: str, propagation: str, table: list[MountEntry]) -> None:
    """Refuse to share what nobody could hear of.

    Raises:
        AgentError: the source lies on a mount that is not shared (and not a slave, where that would do).
    """
    kind = propagation.removeprefix("r")
    if kind not in ("shared", "slave"):
        return
    entry = mount_of(os.path.realpath(source), table)
    if entry is None or entry.shared or (kind == "slave" and entry.slave):
        return
    what = "shared" if kind == "shared" else "shared or slave"
    raise AgentError(Kind.SYSTEM, f"path {source} is mounted on {entry.point} but it is not a {what} mount")
