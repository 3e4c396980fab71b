"""Filling a new volume with what the image has at its place: content, owners, modes, times, links and attributes.

Both trees belong to somebody else: everything goes by descriptor, one name at a time, and no symlink is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ..linux.paths import RESOLVE_NO_SYMLINKS, open_in_root

CHUNK = 1 << 20
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_NOT_KEPT = (errno.ENOTSUP, errno.EPERM, errno.EINVAL)
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_DEPTH = 1000


def is_empty(directory: int) -> bool:
    """Whether a directory holds nothing."""
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def copy_tree(source: int, target: int) -> None:
    """Make the empty directory `target` the same as `source`, itself included; both opened for reading."""
    _Copier(target).directory(source, target, "", 0)


class _Copier:
    """One copy; remembers files that have several names, and where their first one is."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._linked: dict[tuple[int, int], str] = {}

    def directory(self, source: int, target: int, path: str, depth: int) -> None:
        """Copy what is in a directory, then its own owner, mode and times; `path` is the target's below the root."""
        if depth > MAX_DEPTH:
            raise OSError(errno.ELOOP, "directories are nested too deeply")
        for name in sorted(os.listdir(source)):
            self._entry(source, target, name, path, depth)
        status = os.fstat(source)
        _copy_attributes(source, target)
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _entry(self, source: int, target: int, name: str, path: str, depth: int) -> None:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            inner, made = os.open(name, OPEN_DIRECTORY, dir_fd=source), -1
            try:
                made = os.open(name, OPEN_DIRECTORY, dir_fd=target)
                self.directory(inner, made, f"{path}{name}/", depth + 1)
            finally:
                os.close(inner)
                if made >= 0:
                    os.close(made)
        elif stat.S_ISREG(status.st_mode):
            self._file(source, target, name, path, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            _own(target, name, status)
        elif status.st_rdev or not stat.S_ISCHR(status.st_mode):  # 0:0 is overlay's mark of something removed
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            _own(target, name, status)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)

    def _file(self, source: int, target: int, name: str, path: str, status: os.stat_result) -> None:
        key = (status.st_dev, status.st_ino)
        if key in self._linked:
            first = open_in_root(self._root, self._linked[key], os.O_PATH | os.O_NOFOLLOW, resolve=RESOLVE_NO_SYMLINKS)
            try:
                os.link(f"/proc/self/fd/{first}", name, dst_dir_fd=target, follow_symlinks=True)
            finally:
                os.close(first)
            return
        read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            write = os.open(name, flags, 0o600, dir_fd=target)
            try:
                while os.sendfile(write, read, None, CHUNK):
                    pass
                os.fchown(write, status.st_uid, status.st_gid)  # takes set-user-id away: before the mode
                os.fchmod(write, stat.S_IMODE(status.st_mode))
                _copy_attributes(read, write)
                os.utime(write, ns=(status.st_atime_ns, status.st_mtime_ns))
                if status.st_nlink > 1:
                    self._linked[key] = path + name
            finally:
                os.close(write)
        finally:
            os.close(read)


def _own(directory: int, name: str, status: os.stat_result) -> None:
    os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory, follow_symlinks=False)


def _copy_attributes(source: int, target: int) -> None:
    """Extended attributes, as far as the file system of the volume knows them."""
    for name in os.listxattr(source):
        if name.startswith(_OVERLAY):
            continue
        value = os.getxattr(source, name)
        try:
            os.setxattr(target, name, value)
        except OSError as error:
            if error.errno not in _NOT_KEPT:
                raise


def empty(directory: int) -> None:
    """Remove everything in a directory: of a copy that failed."""
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                inner = os.open(name, OPEN_DIRECTORY, dir_fd=directory)
                try:
                    empty(inner)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)
