"""What a container has changed of its image's files: its own layer compared with those below (`docker diff`)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..linux import mounts
from ..linux.paths import RESOLVE_NO_SYMLINKS, open_in_root

MODIFIED, ADDED, DELETED = 0, 1, 2
ENGINE_FILES = frozenset(
    (
        ".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "dev/mqueue", "etc", "etc/hostname", "etc/hosts",
        "etc/resolv.conf", "etc/mtab", "proc", "sys",
    )
)  # fmt: skip
"""Mount points that the engine makes where an image lacks them: not the container's work while they are empty."""


@dataclass(frozen=True)
class Change:
    """A path that differs; `kind` as Docker counts: 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


def find_changes(upper: Path, layers: list[str]) -> list[Change]:
    """All changes, parents before what is in them, in the order of their names.

    Arguments:
        upper: the container's own directory.
        layers: those below, topmost first.
    """
    own = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _lower(layers) as lower:
            return _Comparison(own, lower).find()
    finally:
        os.close(own)


@contextmanager
def _lower(layers: list[str]) -> Iterator[int]:
    """The image's files as one directory; a mount that is attached nowhere."""
    if len(layers) == 1:
        lower = os.open(layers[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        joined = ":".join(layer.replace("\\", "\\\\").replace(":", "\\:") for layer in layers)
        try:
            lower = mounts.fs_mount("overlay", [("lowerdir+", layer) for layer in layers], mounts.MOUNT_ATTR_RDONLY)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            lower = mounts.fs_mount("overlay", [("lowerdir", joined)], mounts.MOUNT_ATTR_RDONLY)
    try:
        yield lower
    finally:
        os.close(lower)


class _Comparison:
    """One comparison. Directories are opened by path from their root, one of each at a time, however deep it goes."""

    def __init__(self, upper: int, lower: int) -> None:
        self._upper, self._lower = upper, lower

    def find(self) -> list[Change]:
        found: dict[str, int] = {}
        pending = [("", True)]
        while pending:
            path, below = pending.pop()
            for name, change, inner in self._compare(path, below=below):
                child = f"{path}/{name}" if path else name
                if change is not None:
                    found[child] = change
                    self._touch_parents(child, found)
                if inner is not None:
                    pending.append((child, inner))
        return [Change(f"/{path}", found[path]) for path in sorted(found, key=lambda path: path.split("/"))]

    @staticmethod
    def _touch_parents(path: str, found: dict[str, int]) -> None:
        """A directory with changes in it is listed, too."""
        head = path.rpartition("/")[0]
        while head and head not in found:
            found[head] = MODIFIED
            head = head.rpartition("/")[0]

    def _compare(self, path: str, *, below: bool) -> Iterator[tuple[str, int | None, bool | None]]:
        """The entries of a directory: name, change, and for a directory whether there is one below it."""
        try:
            upper = _open(self._upper, path)
        except OSError:
            return  # it went while we were looking
        lower = _open_if_there(self._lower, path) if below else -1
        try:
            names = sorted(os.listdir(upper))
            for name in names:
                yield from self._compare_entry(path, name, upper, lower)
            if lower >= 0 and _is_opaque(upper):
                yield from ((name, DELETED, None) for name in sorted(set(os.listdir(lower)) - set(names)))
        finally:
            os.close(upper)
            if lower >= 0:
                os.close(lower)

    @staticmethod
    def _compare_entry(path: str, name: str, upper: int, lower: int) -> Iterator[tuple[str, int | None, bool | None]]:
        new, old = _status(upper, name), _status(lower, name) if lower >= 0 else None
        if new is None:
            return
        directory = stat.S_ISDIR(new.st_mode)
        if stat.S_ISCHR(new.st_mode) and new.st_rdev == 0:
            if old is not None:
                yield name, DELETED, None
        elif old is None:
            engines = (f"{path}/{name}" if path else name) in ENGINE_FILES and (directory or new.st_size == 0)
            yield name, None if engines else ADDED, False if directory else None
        else:
            both = directory and stat.S_ISDIR(old.st_mode)
            differs = _differs(old, new) or _capability(lower, name) != _capability(upper, name)
            yield name, MODIFIED if differs else None, both if directory else None


def _open(root: int, path: str) -> int:
    return open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)


def _open_if_there(root: int, path: str) -> int:
    try:
        return _open(root, path)
    except OSError:
        return -1


def _status(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _differs(old: os.stat_result, new: os.stat_result) -> bool:
    """Of directories neither size nor time counts: both change when something in them does."""
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev) != (new.st_mode, new.st_uid, new.st_gid, new.st_rdev):
        return True
    return not stat.S_ISDIR(new.st_mode) and (old.st_mtime_ns, old.st_size) != (new.st_mtime_ns, new.st_size)


def _capability(directory: int, name: str) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{directory}/{name}", "security.capability", follow_symlinks=False)
    except OSError:
        return b""


def _is_opaque(directory: int) -> bool:
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False
