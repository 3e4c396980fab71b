"""Volumes that are mounts: mounted for their first container, unmounted with their last.

The mount is one of the engine's namespace, which outlives the agent: after its restart `recover` brings the counts up
to date with what is mounted and what runs.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from ..api.errors import AgentError, Kind
from ..linux import mounts
from ..linux.mountinfo import read_mountinfo
from .options import VolumeMount, describe_mount, needs_mount, plan_mount
from .store import Volume

log = logging.getLogger(__name__)
_ATTRIBUTES = {
    "ro": mounts.MOUNT_ATTR_RDONLY,
    "nosuid": mounts.MOUNT_ATTR_NOSUID,
    "nodev": mounts.MOUNT_ATTR_NODEV,
    "noexec": mounts.MOUNT_ATTR_NOEXEC,
    "noatime": mounts.MOUNT_ATTR_NOATIME,
    "strictatime": mounts.MOUNT_ATTR_STRICTATIME,
    "nodiratime": mounts.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": mounts.MOUNT_ATTR_NOSYMFOLLOW,
}
_TIMES = mounts.MOUNT_ATTR_NOATIME | mounts.MOUNT_ATTR_STRICTATIME
_PROPAGATION = {
    "private": mounts.MS_PRIVATE,
    "slave": mounts.MS_SLAVE,
    "shared": mounts.MS_SHARED,
    "unbindable": mounts.MS_UNBINDABLE,
}


def resolve_host(name: str) -> str:
    """A host's address.

    Raises:
        OSError: it cannot be found.
    """
    return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])


class Mounting:
    """Who needs which volume mounted. Thread-safe; a slow server holds up only volumes that need mounting.

    Arguments:
        resolve: finds the address of a host, or raises OSError.
    """

    def __init__(self, resolve: Callable[[str], str] = resolve_host) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._users: dict[str, set[str]] = {}

    def mount(self, volume: Volume, user: str) -> None:
        """Make a volume's data appear at its path.

        Raises:
            AgentError: it cannot be mounted, in Docker's words.
        """
        if not needs_mount(volume.options):
            return
        options = volume.options or {}
        with self._lock:
            if not self._users.get(volume.name):
                try:
                    _carry_out(plan_mount(options, self._resolve), str(volume.path))
                except OSError as error:
                    what = describe_mount(options, str(volume.path))
                    reason = (error.strerror or str(error)).lower()
                    raise AgentError(
                        Kind.SYSTEM,
                        f"error while mounting volume '{volume.path}': failed to mount local volume: {what}: {reason}",
                    ) from error
            self._users.setdefault(volume.name, set()).add(user)

    def unmount(self, volume: Volume, user: str) -> None:
        """One does not need it any more; a container that still runs keeps its own mount of it."""
        if not needs_mount(volume.options):
            return
        with self._lock:
            users = self._users.get(volume.name, set())
            if user in users:
                users.discard(user)
                if not users:
                    _take_off(volume)

    def recover(self, volumes: list[Volume], users: dict[str, set[str]]) -> None:
        """After a restart of the agent: know what is mounted, and unmount what nobody needs.

        Arguments:
            users: volume's name to those who need it.
        """
        mounted = {entry.point for entry in read_mountinfo()}
        with self._lock:
            for volume in volumes:
                if not needs_mount(volume.options) or str(volume.path) not in mounted:
                    continue
                self._users[volume.name] = set(users.get(volume.name, ()))
                if not self._users[volume.name]:
                    _take_off(volume)


def _take_off(volume: Volume) -> None:
    try:
        mounts.unmount(str(volume.path), mounts.MNT_DETACH)
    except OSError as error:
        log.error("volume %s cannot be unmounted: %s", volume.name, error.strerror)


def _carry_out(plan: VolumeMount, path: str) -> None:
    attributes = sum({_ATTRIBUTES[name] for name in plan.attributes if name in _ATTRIBUTES})
    if plan.kind:
        made = mounts.fs_mount(plan.kind, [("source", plan.device), *plan.parameters], attributes)
    else:
        source = os.open(plan.device, os.O_PATH | os.O_CLOEXEC)
        try:
            made = mounts.open_tree(source, recursive=plan.recursive)
        finally:
            os.close(source)
    try:
        if not plan.kind and attributes:
            times = mounts.MOUNT_ATTR__ATIME if attributes & _TIMES else 0  # one of them replaces another
            mounts.set_attributes(made, add=attributes, remove=times)
        if plan.propagation:
            kind = plan.propagation.removeprefix("r") if plan.propagation != "runbindable" else "unbindable"
            mounts.set_attributes(made, propagation=_PROPAGATION[kind], recursive=plan.propagation.startswith("r"))
        target = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            mounts.attach(made, target)
        finally:
            os.close(target)
    finally:
        os.close(made)
