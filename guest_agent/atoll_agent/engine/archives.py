"""`docker cp` and `docker export`: files of a container as an archive, and an archive into a container."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import IO

from ..api.errors import AgentError, Kind, invalid
from ..images.archive import open_stream
from ..images.extract import Rules, extract
from ..images.tar_tree import Source, pack_tree
from ..linux.paths import open_in_root
from ..runtime.log_file import format_time
from ..runtime.users import UnknownUser, find_identity
from ..runtime.view import View
from .records import Container
from .views import Place, Views, explain, find_place, no_file, path_of

_GO_KINDS = {
    stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFBLK: 1 << 26, stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24, stat.S_IFCHR: 1 << 26 | 1 << 21, stat.S_IFREG: 0,
}  # fmt: skip
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def go_mode(mode: int) -> int:
    """Kind and permissions as Go's `os.FileMode` has them."""
    bits = sum(go for bit, go in _GO_BITS if mode & bit)
    return _GO_KINDS.get(stat.S_IFMT(mode), 1 << 19) | bits | mode & 0o777


def format_stat(place: Place) -> str:
    """The value of the header X-Docker-Container-Path-Stat."""
    status = place.status
    value = {
        "name": place.name,
        "size": status.st_size,
        "mode": go_mode(status.st_mode),
        "mtime": format_time(status.st_mtime_ns),
        "linkTarget": place.target,
    }
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


class Archives:
    """Archives of and for containers."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def stat(self, container: Container, name: str, path: str) -> str:
        """A file's status, as the header that carries it."""
        with self._views.open(container) as view:
            place = find_place(view, path, name)
            os.close(place.directory)
            return format_stat(place)

    def read(self, container: Container, name: str, path: str) -> tuple[str, Iterator[bytes]]:
        """A file or a directory with all below it: its status, and an archive.

        The iterator must be begun or closed, or what it holds stays open.
        """
        view = self._views.open(container)
        try:
            place = find_place(view, path, name)
        except BaseException:
            view.close()
            raise
        return format_stat(place), _read(view, place)

    def export(self, container: Container) -> Iterator[bytes]:
        """The whole root without volumes."""
        view = self._views.open(container, volumes=False)
        return _pack_and_close(view, Source(view.root, "", ""), -1)

    def write(
        self, container: Container, name: str, path: str, source: IO[bytes], *, keep_kinds: bool, own: bool
    ) -> None:
        """Unpack an archive into a directory.

        Arguments:
            keep_kinds: refuse to replace directories by other things and the other way round.
            own: everything shall belong to the container's user.
        """
        # Opened before the container's files are: nothing that they hold has a part in decompressing.
        stream, empty = open_stream(source)
        with self._views.writable(container) as view:
            place = _find_directory(view, path, name)
            try:
                _check_writable(container, view, place)
                owner = _owner(container, view) if own else None
                base = path_of(place).strip("/")
            finally:
                os.close(place)
            if not empty:
                rules = Rules("archive", whiteouts=False, keep_kinds=keep_kinds, owner=owner, base=base)
                _extract(stream, view, rules)


def _read(view: View, place: Place) -> Iterator[bytes]:
    source = Source(place.directory, place.entry, place.name)
    return _pack_and_close(view, source, place.directory)


class _Parts(Iterator[bytes]):
    """An archive's parts; what it reads from is closed when it ends or is forgotten, even if it was never begun."""

    def __init__(self, view: View, source: Source, directory: int) -> None:
        self._parts, self._view, self._directory = pack_tree(source), view, directory

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give up what it reads from."""
        self._parts.close()  # type: ignore[attr-defined]
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1
        self._view.close()

    def __del__(self) -> None:
        self.close()


def _pack_and_close(view: View, source: Source, directory: int) -> Iterator[bytes]:
    return _Parts(view, source, directory)


def _find_directory(view: View, path: str, name: str) -> int:
    """A directory, symlinks followed."""
    if not path or "\0" in path:
        raise invalid("bad parameter: path cannot be empty")
    try:
        return open_in_root(view.root, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise no_file(path, name) from error
    except NotADirectoryError as error:
        raise invalid("extraction point is not a directory") from error
    except OSError as error:
        raise explain(error, path) from error


def _check_writable(container: Container, view: View, place: int) -> None:
    """Docker's words where the kernel would say EROFS."""
    if not os.fstatvfs(place).f_flag & os.ST_RDONLY:
        return
    in_root = os.fstat(place).st_dev == os.fstat(view.root).st_dev
    what = "container rootfs" if in_root and container.host_config.get("ReadonlyRootfs") else "mounted volume"
    raise AgentError(Kind.FORBIDDEN, f"{what} is marked read-only")


def _owner(container: Container, view: View) -> tuple[int, int]:
    try:
        identity = find_identity(view.root, str(container.config.get("User") or ""), [])
    except UnknownUser as error:
        raise invalid(str(error)) from error
    return identity.uid, identity.gid


def _extract(stream: IO[bytes], view: View, rules: Rules) -> None:
    try:
        extract(stream, view.root, rules)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise AgentError(Kind.FORBIDDEN, "mounted volume is marked read-only") from error
        place = f"{error.filename}: " if error.filename else ""
        raise AgentError(Kind.SYSTEM, f"cannot unpack the archive: {place}{(error.strerror or '').lower()}") from error
