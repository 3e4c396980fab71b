"""Unpacking a layer: a tar archive written by a stranger, into a directory, as root.

Every path is resolved by the kernel with the layer's directory as root (openat2 RESOLVE_IN_ROOT), and every change goes
through a descriptor or a (parent, name) pair that does not follow the last component. Whiteouts become overlay's own:
a 0:0 character device for a removed name, `trusted.overlay.opaque` for an emptied directory (OCI image spec, layer.md).
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from typing import IO

from ..api.errors import invalid
from ..linux.paths import make_directories, open_in_root
from .archive import DAMAGED

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
COPY_CHUNK = 1 << 20
XATTR_PREFIX = "SCHILY.xattr."
XATTRS_KEPT = ("security.capability", "user.")
XATTRS_REFUSED = ("user.overlay.",)
MAX_ID = (1 << 32) - 2


def extract_layer(source: IO[bytes], root: int, *, whiteouts: bool = True) -> int:
    """Unpack an uncompressed tar stream below the directory `root`.

    Arguments:
        whiteouts: translate `.wh.` names; otherwise they are ordinary files.

    Returns:
        The sum of the sizes of its regular files, in bytes.

    Raises:
        AgentError: an entry no layer may have; what was unpacked before stays (the caller throws it away).
        OSError: the disk is full, or the like.
    """
    worker = _Extraction(root, whiteouts)
    try:
        with tarfile.open(fileobj=source, mode="r|", errors="surrogateescape", tarinfo=tarfile.TarInfo) as archive:
            for entry in archive:
                worker.add(archive, entry)
                # tarfile keeps every header it has seen; a layer may have a million.
                archive.members.clear()  # type: ignore[attr-defined]
    except DAMAGED as error:
        raise invalid(f"layer is not a valid tar archive: {error}") from error
    finally:
        worker.close()
    worker.set_directory_times()
    return worker.size


class _Extraction:
    def __init__(self, root: int, whiteouts: bool) -> None:
        self._root, self._whiteouts = root, whiteouts
        self._parent, self._parent_path = -1, ""
        self._times: list[tuple[str, int]] = []
        self.size = 0

    def close(self) -> None:
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1

    def add(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        parts = _parts(entry.name)
        if not parts:
            if entry.isdir():
                self._set_attributes(self._root, entry)
                self._times.append(("", int(entry.mtime)))
            return
        name = parts[-1]
        parent = self._open_parent("/".join(parts[:-1]))
        if self._whiteouts and name.startswith(WHITEOUT):
            self._whiteout(parent, name)
        else:
            self._make(archive, entry, parent, name, "/".join(parts))

    def _open_parent(self, path: str) -> int:
        if self._parent < 0 or path != self._parent_path:
            following = make_directories(self._root, path)
            self.close()
            self._parent, self._parent_path = following, path
        return self._parent

    def _whiteout(self, parent: int, name: str) -> None:
        if name == OPAQUE:
            os.setxattr(f"/proc/self/fd/{parent}", "trusted.overlay.opaque", b"y")
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", "..") or hidden.startswith(WHITEOUT):
            raise invalid(f"layer has an invalid whiteout: {name!r}")
        _remove(parent, hidden)
        os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)

    def _make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, name: str, path: str) -> None:
        if entry.isdir():
            self._make_directory(entry, parent, name, path)
            return
        self._parent_path = self._parent_path if not _remove(parent, name) else self._forget_parent()
        parent = self._open_parent(path.rpartition("/")[0])
        if entry.isreg():
            self._make_file(archive, entry, parent, name)
        elif entry.issym():
            os.symlink(entry.linkname, name, dir_fd=parent)
            os.chown(name, _id(entry.uid), _id(entry.gid), dir_fd=parent, follow_symlinks=False)
            self._set_time(parent, name, entry)
        elif entry.islnk():
            self._make_link(entry, parent, name)
        elif entry.ischr() or entry.isblk() or entry.isfifo():
            self._make_node(entry, parent, name)
        else:
            raise invalid(f"layer has an entry of unknown type: {entry.name!r}")

    def _forget_parent(self) -> str:
        """A directory was removed: the parent's path may lead elsewhere now."""
        self.close()
        return ""

    def _make_directory(self, entry: tarfile.TarInfo, parent: int, name: str, path: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._set_attributes(made, entry)
        finally:
            os.close(made)
        self._times.append((path, int(entry.mtime)))

    def _make_file(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            content = archive.extractfile(entry)
            written = 0
            while content and (data := content.read(COPY_CHUNK)):
                view = memoryview(data)
                while view:
                    view = view[os.write(made, view) :]
                written += len(data)
            if written != entry.size:
                raise invalid(f"layer is truncated in {entry.name!r}")
            self._set_attributes(made, entry)
            os.utime(made, ns=(_nanoseconds(entry), _nanoseconds(entry)))
        finally:
            os.close(made)
        self.size += written

    def _make_link(self, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        target = _parts(entry.linkname)
        if not target:
            raise invalid(f"layer has a hard link to nothing: {entry.name!r}")
        try:
            directory = open_in_root(self._root, "/".join(target[:-1]), os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise invalid(f"layer has a hard link to what is not in it: {entry.linkname!r}") from error
        try:
            os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, PermissionError) as error:  # the latter for a directory
            raise invalid(f"layer has a hard link to what is not in it: {entry.linkname!r}") from error
        finally:
            os.close(directory)

    def _make_node(self, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        device = 0 if entry.isfifo() else os.makedev(entry.devmajor, entry.devminor)
        if entry.ischr() and device == 0:
            raise invalid(f"layer has an overlay whiteout made by hand: {entry.name!r}")
        kind = stat.S_IFIFO if entry.isfifo() else stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
        os.mknod(name, kind | 0o600, device, dir_fd=parent)
        os.chown(name, _id(entry.uid), _id(entry.gid), dir_fd=parent, follow_symlinks=False)
        node = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{node}", entry.mode & 0o7777)
        finally:
            os.close(node)
        self._set_time(parent, name, entry)

    @staticmethod
    def _set_time(parent: int, name: str, entry: tarfile.TarInfo) -> None:
        os.utime(name, ns=(_nanoseconds(entry), _nanoseconds(entry)), dir_fd=parent, follow_symlinks=False)

    @staticmethod
    def _set_attributes(descriptor: int, entry: tarfile.TarInfo) -> None:
        """Owner first: chown clears setuid bits and file capabilities."""
        os.fchown(descriptor, _id(entry.uid), _id(entry.gid))
        os.fchmod(descriptor, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            if key.startswith(XATTR_PREFIX):
                name = key[len(XATTR_PREFIX) :]
                if name.startswith(XATTRS_KEPT) and not name.startswith(XATTRS_REFUSED):
                    os.setxattr(descriptor, name, value.encode("utf-8", "surrogateescape"))

    def set_directory_times(self) -> None:
        """Directories get their times last, deepest first: making their content has changed them."""
        for path, seconds in reversed(self._times):
            try:
                directory = open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue  # replaced by a later entry
            with contextlib.suppress(OSError, OverflowError):
                os.utime(directory, (seconds, seconds))
            os.close(directory)


def _parts(name: str) -> list[str]:
    if "\0" in name:
        raise invalid("layer has a name with a NUL byte")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise invalid(f"layer has a path that leads outside: {name!r}")
    return parts


def _id(number: int) -> int:
    if not 0 <= number <= MAX_ID:
        raise invalid(f"layer has an owner out of range: {number}")
    return number


def _nanoseconds(entry: tarfile.TarInfo) -> int:
    return max(0, min(int(float(entry.mtime) * 1_000_000_000), (1 << 62)))


def _remove(parent: int, name: str) -> bool:
    """Remove what stands in the way; True when it was a directory."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        remove_tree(parent, name)
        return True
    return False


def remove_tree(parent: int, name: str) -> None:
    """Remove a directory and all in it without following a symlink or leaving its file system."""
    directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(directory) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(directory, entry.name)
                else:
                    os.unlink(entry.name, dir_fd=directory)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)
