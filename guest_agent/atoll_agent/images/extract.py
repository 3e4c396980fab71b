"""Unpacking a tar archive written by a stranger, into a directory, as root: a layer, or files for a container.

Every path is resolved by the kernel with a root that cannot be left (openat2 RESOLVE_IN_ROOT), and every change goes
through a descriptor or a (parent, name) pair that does not follow the last component. Whiteouts become overlay's own:
a 0:0 character device for a removed name, `trusted.overlay.opaque` for an emptied directory (OCI image spec, layer.md).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from typing import IO

from ..api.errors import invalid
from ..linux.paths import make_directories, open_in_root
from ..linux.trees import remove_tree
from .archive import DAMAGED
from .recipe import RecipeWriter
from .tar_format import BLOCK_DEVICE, CHARACTER, DIRECTORY, FIFO, LINK, SYMLINK, Entry
from .tar_read import TarReader

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
COPY_CHUNK = 1 << 18
HOLE = 1 << 16
XATTRS_KEPT = ("security.capability", "user.")
XATTRS_REFUSED = ("user.overlay.",)
MAX_ID = (1 << 32) - 2
MAX_TIME_NS = 1 << 62
_ZEROS = bytes(HOLE)
_NO_WAY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


@dataclass(frozen=True)
class Rules:
    """What differs between a layer and files that are copied into a container.

    Attributes:
        what: the archive in error messages.
        whiteouts: translate `.wh.` names; otherwise they are ordinary files.
        keep_kinds: refuse to replace a directory by something else, or something else by a directory.
        owner: who owns everything, instead of what the archive says.
        base: a directory below the root, into which the entries go.
    """

    what: str = "layer"
    whiteouts: bool = True
    keep_kinds: bool = False
    owner: tuple[int, int] | None = None
    base: str = ""


@dataclass(frozen=True)
class Extracted:
    """What became of an archive.

    Attributes:
        size: sum of the sizes of its regular files, in bytes.
        replaced: whether an entry took the place of an earlier one, so that a recipe may not find all content.
    """

    size: int
    replaced: bool


def extract_layer(source: IO[bytes], root: int, *, whiteouts: bool = True) -> int:
    """Unpack an uncompressed layer below the directory `root`; returns the size of its files, see `extract`."""
    return extract(source, root, Rules(whiteouts=whiteouts)).size


def extract(source: IO[bytes], root: int, rules: Rules, recipe: RecipeWriter | None = None) -> Extracted:
    """Unpack an uncompressed tar stream below the directory `root`; it is read to its end.

    Arguments:
        recipe: is told how to make the archive again.

    Raises:
        AgentError: an entry no archive may have; what was unpacked before stays (the caller throws it away).
        OSError: the disk is full, or the like.
    """
    reader = TarReader(source, recipe.keep if recipe else None)
    worker = _Extraction(root, rules, reader, recipe)
    try:
        for entry in reader:
            worker.add(entry)
        reader.finish()
    except DAMAGED as error:
        raise invalid(f"{rules.what} is not a valid tar archive: {error}") from error
    finally:
        worker.close()
    worker.set_directory_times()
    return Extracted(worker.size, worker.replaced)


class _Extraction:
    def __init__(self, root: int, rules: Rules, reader: TarReader, recipe: RecipeWriter | None) -> None:
        self._root, self._rules, self._reader, self._recipe = root, rules, reader, recipe
        self._parent, self._parent_path = -1, ""
        self._times: dict[str, int] = {}
        self.size = 0
        self.replaced = False

    def close(self) -> None:
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1

    def add(self, entry: Entry) -> None:
        parts = self._parts(entry.name)
        if not parts:
            if entry.kind == DIRECTORY and not self._rules.base:
                self._set_attributes(self._root, entry)
                self._times[""] = entry.mtime_ns
            return
        name = parts[-1]
        parent = self._open_parent("/".join(parts[:-1]))
        if self._rules.whiteouts and name.startswith(WHITEOUT):
            self._whiteout(parent, name)
        else:
            self._make(entry, parent, name, "/".join(parts))

    def _parts(self, name: str) -> list[str]:
        if "\0" in name:
            raise invalid(f"{self._rules.what} has a name with a NUL byte")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise invalid(f"{self._rules.what} has a path that leads outside: {name!r}")
        return parts

    def _within(self, path: str) -> str:
        return f"{self._rules.base}/{path}" if self._rules.base else path

    def _open_parent(self, path: str) -> int:
        if self._parent < 0 or path != self._parent_path:
            try:
                following = make_directories(self._root, self._within(path))
            except OSError as error:
                if error.errno not in _NO_WAY:
                    raise
                raise invalid(f"{self._rules.what} has a path that leads nowhere: {path!r}") from error
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
        self._remove(parent, hidden)
        os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)

    def _remove(self, parent: int, name: str) -> bool:
        """Remove what stands in the way; whether it was a directory."""
        removed = remove_any(parent, name)
        self.replaced = self.replaced or removed is not None
        return removed == "directory"

    def _make(self, entry: Entry, parent: int, name: str, path: str) -> None:
        if self._rules.keep_kinds:
            self._check_kind(entry, parent, name, path)
        if entry.kind == DIRECTORY:
            self._make_directory(entry, parent, name, path)
            return
        if entry.kind == CHARACTER and (entry.major, entry.minor) == (0, 0):
            raise invalid(f"{self._rules.what} has an overlay whiteout made by hand: {entry.name!r}")
        if self._remove(parent, name):
            self.close()  # what was removed may have been on the way to the parent
            parent = self._open_parent(path.rpartition("/")[0])
        if entry.is_file:
            self._make_file(entry, parent, name, path)
        elif entry.kind == SYMLINK:
            os.symlink(entry.target, name, dir_fd=parent)
            os.chown(name, *self._owner(entry), dir_fd=parent, follow_symlinks=False)
            self._set_time(parent, name, entry)
        elif entry.kind == LINK:
            self._make_link(entry, parent, name)
        elif entry.kind in (CHARACTER, BLOCK_DEVICE, FIFO):
            self._make_node(entry, parent, name)
        else:
            raise invalid(f"{self._rules.what} has an entry of unknown type: {entry.name!r}")

    def _check_kind(self, entry: Entry, parent: int, name: str, path: str) -> None:
        try:
            directory = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return
        place, target = f"/{self._within(path)}".replace("//", "/"), f"/{self._rules.base}".rstrip("/") or "/"
        if directory and entry.kind != DIRECTORY:
            raise invalid(f'cannot overwrite directory "{place}" with non-directory "{target}"')
        if not directory and entry.kind == DIRECTORY:
            raise invalid(f'cannot overwrite non-directory "{place}" with directory "{target}"')

    def _make_directory(self, entry: Entry, parent: int, name: str, path: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self._remove(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._set_attributes(made, entry)
        finally:
            os.close(made)
        self._times[path] = entry.mtime_ns

    def _make_file(self, entry: Entry, parent: int, name: str, path: str) -> None:
        if self._recipe and entry.sparse is None and entry.size:
            self._recipe.file(path, entry.size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            os.ftruncate(made, entry.real_size)
            if entry.sparse is None:
                self._copy(made, 0, entry.size, kept=False)
            for offset, length in entry.sparse or ():
                self._copy(made, offset, length, kept=True)
            self._set_attributes(made, entry)
            os.utime(made, ns=(_nanoseconds(entry), _nanoseconds(entry)))
        finally:
            os.close(made)
        self.size += entry.real_size

    def _copy(self, file: int, offset: int, length: int, *, kept: bool) -> None:
        """Write payload; long runs of zeros become holes, as they most likely were."""
        read = self._reader.read_kept if kept else self._reader.read
        while length:
            data = memoryview(read(min(length, COPY_CHUNK)))
            length -= len(data)
            while data:
                part = data[:HOLE]
                if part != _ZEROS:
                    written = os.pwrite(file, part, offset)
                else:
                    written = HOLE
                offset, data = offset + written, data[written:]

    def _make_link(self, entry: Entry, parent: int, name: str) -> None:
        what, target = self._rules.what, self._parts(entry.target)
        if not target:
            raise invalid(f"{what} has a hard link to nothing: {entry.name!r}")
        try:
            path = self._within("/".join(target[:-1]))
            directory = open_in_root(self._root, path, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise invalid(f"{what} has a hard link to what is not in it: {entry.target!r}") from error
        try:
            os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, PermissionError) as error:  # the latter for a directory
            raise invalid(f"{what} has a hard link to what is not in it: {entry.target!r}") from error
        finally:
            os.close(directory)

    def _make_node(self, entry: Entry, parent: int, name: str) -> None:
        device = 0 if entry.kind == FIFO else os.makedev(entry.major, entry.minor)
        kind = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK}[entry.kind]
        os.mknod(name, kind | 0o600, device, dir_fd=parent)
        os.chown(name, *self._owner(entry), dir_fd=parent, follow_symlinks=False)
        node = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{node}", entry.mode & 0o7777)
        finally:
            os.close(node)
        self._set_time(parent, name, entry)

    @staticmethod
    def _set_time(parent: int, name: str, entry: Entry) -> None:
        os.utime(name, ns=(_nanoseconds(entry), _nanoseconds(entry)), dir_fd=parent, follow_symlinks=False)

    def _owner(self, entry: Entry) -> tuple[int, int]:
        if self._rules.owner:
            return self._rules.owner
        for number in (entry.uid, entry.gid):
            if not 0 <= number <= MAX_ID:
                raise invalid(f"{self._rules.what} has an owner out of range: {number}")
        return entry.uid, entry.gid

    def _set_attributes(self, descriptor: int, entry: Entry) -> None:
        """Owner first: chown clears setuid bits and file capabilities."""
        os.fchown(descriptor, *self._owner(entry))
        os.fchmod(descriptor, entry.mode & 0o7777)
        for name, value in entry.xattrs.items():
            if name.startswith(XATTRS_KEPT) and not name.startswith(XATTRS_REFUSED):
                self._set_xattr(descriptor, name, value)

    def _set_xattr(self, descriptor: int, name: str, value: bytes) -> None:
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ERANGE):
                raise
            if error.errno != errno.ENOTSUP:
                raise invalid(f"{self._rules.what} has an invalid attribute {name!r}") from error

    def set_directory_times(self) -> None:
        """Directories get their times last, deepest first: making their content has changed them."""
        for path, time_ns in reversed(self._times.items()):
            try:
                directory = open_in_root(self._root, self._within(path), os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue  # replaced by a later entry
            with contextlib.suppress(OSError, OverflowError):
                os.utime(directory, ns=(_bounded(time_ns), _bounded(time_ns)))
            os.close(directory)


def _nanoseconds(entry: Entry) -> int:
    return _bounded(entry.mtime_ns)


def _bounded(time_ns: int) -> int:
    return max(-MAX_TIME_NS, min(time_ns, MAX_TIME_NS))


def remove_any(parent: int, name: str) -> str | None:
    """Remove whatever is there; `file`, `directory`, or None where nothing was."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        remove_tree(parent, name)
        return "directory"
    return "file"
