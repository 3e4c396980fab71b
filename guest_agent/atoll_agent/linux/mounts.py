"""The mount interface of Linux 5.2 and later: file systems and mounts are file descriptors until they are attached.

Working by descriptor is what makes mounting into a hostile root safe: a path is resolved once, and nothing that is
renamed afterwards can redirect it. See fsopen(2), open_tree(2), move_mount(2), mount_setattr(2).
"""

from __future__ import annotations

import ctypes
import os

from .syscalls import (
    FSCONFIG,
    FSMOUNT,
    FSOPEN,
    MOUNT_SETATTR,
    MOVE_MOUNT,
    OPEN_TREE,
    PIVOT_ROOT,
    check,
    libc,
    syscall,
)

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def fs_mount(kind: str, options: list[tuple[str, str | None]], attributes: int = 0) -> int:
    """Make a new file system and return the descriptor of its detached mount.

    Arguments:
        kind: file system type (`overlay`, `tmpfs`, `proc` ...).
        options: parameters in order; None as value sets a flag.
        attributes: MOUNT_ATTR_ bits of the mount.

    Raises:
        OSError: with the file system's own message appended, where it gave one.
    """
    context = syscall(FSOPEN, kind.encode(), FSOPEN_CLOEXEC, what=kind)
    try:
        for key, value in options:
            if value is None:
                syscall(FSCONFIG, context, FSCONFIG_SET_FLAG, key.encode(), None, 0, what=key)
            else:
                syscall(FSCONFIG, context, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0, what=key)
        syscall(FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0, what=kind)
        return syscall(FSMOUNT, context, FSMOUNT_CLOEXEC, attributes, what=kind)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}{_log_of(context)}", error.filename) from None
    finally:
        os.close(context)


def _log_of(context: int) -> str:
    """What the file system wrote into the context's log (fsopen(2), "message retrieval")."""
    try:
        return " (" + os.read(context, 512).decode("utf-8", "replace").strip() + ")"
    except OSError:
        return ""


def open_tree(directory: int, path: str = "", *, clone: bool = True, recursive: bool = False) -> int:
    """Open a place, by default as a detached bind mount of it; an empty path means `directory` itself."""
    flags = OPEN_TREE_CLOEXEC | (AT_EMPTY_PATH if not path else AT_SYMLINK_NOFOLLOW)
    flags |= (OPEN_TREE_CLONE if clone else 0) | (AT_RECURSIVE if recursive else 0)
    return syscall(OPEN_TREE, directory, os.fsencode(path), flags, what=path)


def attach(mount: int, target: int) -> None:
    """Attach a detached mount on top of what `target` (an O_PATH descriptor) refers to."""
    syscall(MOVE_MOUNT, mount, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def set_attributes(mount: int, *, add: int = 0, remove: int = 0, propagation: int = 0, recursive: bool = False) -> None:
    """Change the attributes or the propagation of a mount given by descriptor."""
    attributes = _MountAttr(add, remove, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall(MOUNT_SETATTR, mount, b"", flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def set_propagation(path: str, flags: int) -> None:
    """Change the propagation of a mount point: mount(2) with only MS_PRIVATE, MS_SLAVE ... and MS_REC set."""
    check(libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(flags), None), path)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2), for the engine's own fixed paths; never for a path inside a container's root."""
    check(
        libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None),
        target,
    )


def unmount(path: str, flags: int = 0) -> None:
    """umount2(2)."""
    check(libc.umount2(os.fsencode(path), flags), path)


def pivot_into(root: int) -> None:
    """Make `root` (a descriptor of an attached mount) the root of this mount namespace and detach the old one.

    The trick of pivot_root(2), "pivot_root(".", ".")": the old root is stacked on the new one and unmounted from
    there, so no directory for it is needed inside the new root.
    """
    os.fchdir(root)
    syscall(PIVOT_ROOT, b".", b".")
    unmount(".", MNT_DETACH)
    os.chdir("/")
