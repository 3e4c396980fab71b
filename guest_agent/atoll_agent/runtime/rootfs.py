"""Building a container's file tree from inside its new mount namespace.

Everything below the root is reached by descriptor through `open_in_root`: the image is hostile, and a path that is
looked up twice is a path that can change in between.
"""

from __future__ import annotations

import errno
import os
import stat

from ..linux import mounts
from ..linux.paths import filesystem_type, make_directories, make_mount_point, open_in_root
from .layers import mount_layers, mount_overlay
from .spec import ContainerSpec, DeviceNode, MountSpec

PROC_SUPER_MAGIC = 0x9FA0

ATTRIBUTES = {
    "ro": mounts.MOUNT_ATTR_RDONLY,
    "nosuid": mounts.MOUNT_ATTR_NOSUID,
    "nodev": mounts.MOUNT_ATTR_NODEV,
    "noexec": mounts.MOUNT_ATTR_NOEXEC,
    "strictatime": mounts.MOUNT_ATTR_STRICTATIME,
}
PROPAGATION = {
    "private": mounts.MS_PRIVATE,
    "slave": mounts.MS_SLAVE,
    "shared": mounts.MS_SHARED,
    "unbindable": mounts.MS_UNBINDABLE,
}
LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
)


def open_bind(plan: MountSpec) -> int:
    """A bind's source as a detached mount, with the propagation that was asked for.

    To be called before the namespace is cut off: the clone of a shared mount keeps its peers, and they are what
    `shared` and `slave` mean.
    """
    source = os.open(plan["source"], os.O_PATH | os.O_CLOEXEC)
    try:
        if plan["subpath"]:
            whole, source = source, open_in_root(source, plan["subpath"])
            os.close(whole)
        clone = mounts.open_tree(source, recursive="rec" in plan["flags"])
    finally:
        os.close(source)
    kind = plan["propagation"]
    mounts.set_attributes(
        clone,
        propagation=PROPAGATION.get(kind.removeprefix("r"), mounts.MS_PRIVATE),
        recursive=kind.startswith("r") or not kind,
    )
    return clone


def open_image(plan: MountSpec, stage: str) -> int:
    """An image's tree, or a part of it, as a detached mount.

    Arguments:
        stage: an empty directory; only what is attached can be cloned in part before Linux 6.15.
    """
    whole = mount_layers(plan["options"])
    if not plan["subpath"]:
        return whole
    place = os.open(stage, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mounts.attach(whole, place)
        try:
            part = open_in_root(whole, plan["subpath"])
            try:
                return mounts.open_tree(part)
            finally:
                os.close(part)
        finally:
            mounts.unmount(stage, mounts.MNT_DETACH)
    finally:
        os.close(place)
        os.close(whole)


def make_root(spec: ContainerSpec) -> int:
    """The container's overlay as a detached mount; made first, it is the first a container sees in its mount table."""
    options: list[tuple[str, str | None]] = [("upperdir", spec["upper"]), ("workdir", spec["work"])]
    return mount_overlay(spec["layers"], options + ([("volatile", None)] if spec["volatile"] else []))


def attach_root(root: int, mount_point: str) -> None:
    """Mount the root on the engine's mount point in this namespace."""
    target = os.open(mount_point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.attach(root, target)
    os.close(target)


def make_mount(root: int, plan: MountSpec, source: int) -> None:
    """Carry out one planned mount.

    Arguments:
        source: what is mounted, of `open_bind` or `open_image`, which is closed; -1 for a new file system.
    """
    attributes = 0
    for flag in plan["flags"]:
        attributes |= ATTRIBUTES.get(flag, 0)
    if source < 0:
        name = "shm" if plan["target"] == "/dev/shm" else plan["kind"]
        options = [("source", name), *(_split(option) for option in plan["options"])]
        source = mounts.fs_mount(plan["kind"], options, attributes)
    try:
        if plan["kind"] in ("bind", "image"):
            if attributes:
                mounts.set_attributes(source, add=attributes)
            if "rro" in plan["flags"]:
                mounts.set_attributes(source, add=mounts.MOUNT_ATTR_RDONLY, recursive=True)
        _attach(root, source, plan)
    finally:
        os.close(source)


def _split(option: str) -> tuple[str, str | None]:
    key, equals, value = option.partition("=")
    return key, value if equals else None


def _attach(root: int, mount: int, plan: MountSpec) -> None:
    target = plan["target"]
    place = make_mount_point(root, target, directory=stat.S_ISDIR(os.fstat(mount).st_mode))
    try:
        _check_proc(mount, place, plan)
        mounts.attach(mount, place)
    finally:
        os.close(place)


def _check_proc(mount: int, place: int, plan: MountSpec) -> None:
    """The engine writes into /proc, so nobody else may lie over it, whatever the image's symlinks are.

    The few files of it that may be replaced are bound under their own names; all of it only by another /proc.
    """
    target = plan["target"]
    named = plan["kind"] == "bind" and target.startswith("/proc/")
    if filesystem_type(place) == PROC_SUPER_MAGIC and not named:
        raise OSError(errno.EPERM, "cannot be mounted because it is inside /proc", target)
    if target == "/proc" and filesystem_type(mount) != PROC_SUPER_MAGIC:
        raise OSError(errno.EPERM, "cannot be mounted because it is not of type proc", target)


def attach_directory(root: int, mount: int, target: str) -> None:
    """Put a directory's mount made elsewhere at its place, and close it."""
    place = make_mount_point(root, target, directory=True)
    try:
        mounts.attach(mount, place)
    finally:
        os.close(place)
        os.close(mount)


def make_devices(root: int, nodes: list[DeviceNode]) -> None:
    """Make device nodes and the usual links in /dev."""
    os.umask(0)
    for node in nodes:
        head, _, name = node["path"].rpartition("/")
        parent = make_directories(root, head)
        try:
            kind = stat.S_IFBLK if node["type"] == "b" else stat.S_IFCHR
            os.mknod(name, kind | node["mode"], os.makedev(node["major"], node["minor"]), dir_fd=parent)
            if node["uid"] or node["gid"]:
                os.chown(name, node["uid"], node["gid"], dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
    os.umask(0o022)
    dev = open_in_root(root, "dev", os.O_PATH | os.O_DIRECTORY)
    try:
        for target, name in (*LINKS, ("pts/ptmx", "ptmx")):
            try:
                os.symlink(target, name, dir_fd=dev)
            except FileExistsError:
                continue
    finally:
        os.close(dev)


def hide_paths(root: int, paths: list[str], null: int) -> None:
    """Cover files with the engine's own /dev/null and directories with an empty read-only tmpfs.

    Arguments:
        null: descriptor of the host's /dev/null, opened and checked outside (CVE-2025-31133).
    """
    for path in paths:
        try:
            place = open_in_root(root, path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                continue
            raise
        if stat.S_ISDIR(os.fstat(place).st_mode):
            cover = mounts.fs_mount("tmpfs", [("size", "0"), ("nr_inodes", "1")], mounts.MOUNT_ATTR_RDONLY)
        else:
            cover = mounts.open_tree(null)
        mounts.attach(cover, place)
        os.close(cover)
        os.close(place)


def protect_paths(root: int, paths: list[str]) -> None:
    """Make parts of the tree read-only by binding them onto themselves."""
    for path in paths:
        try:
            place = open_in_root(root, path)
        except FileNotFoundError:
            continue
        clone = mounts.open_tree(place, recursive=True)
        mounts.set_attributes(clone, add=mounts.MOUNT_ATTR_RDONLY, recursive=True)
        mounts.attach(clone, place)
        os.close(clone)
        os.close(place)


def open_null() -> int:
    """The real /dev/null, as a descriptor to bind from.

    Raises:
        OSError: ENODEV when what is there is not the null device.
    """
    null = os.open("/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    status = os.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        raise OSError(errno.ENODEV, "not the null device", "/dev/null")
    return null


def write_sysctls(root: int, sysctls: dict[str, str]) -> None:
    """Write kernel parameters through the /proc that was mounted here, and through nothing mounted over it."""
    for name, value in sysctls.items():
        path = "proc/sys/" + name.replace(".", "/")
        descriptor = open_in_root(root, path, os.O_WRONLY)
        try:
            if filesystem_type(descriptor) != PROC_SUPER_MAGIC:  # CVE-2025-52881
                raise OSError(errno.EXDEV, "not a kernel parameter", name)
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
