"""A tar archive that came out of a container, extracted here: what is in it is not to be trusted.

Nothing is written outside the destination: names that lead out are refused, no link of the archive is ever followed,
links that would lead out are not made, and neither are devices, pipes and sockets. Permissions keep their lower nine
bits; owners are those of the one who copies.
"""

from __future__ import annotations

import os
import posixpath
import stat
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from ..errors import HostError

CHUNK = 256 * 1024
PERMISSIONS = 0o777
_FOREIGN = "\\:" if sys.platform == "win32" else ""
"""What is a letter in a container's names and divides paths on Windows."""


def unpack(archive: Iterator[bytes], directory: Path, name: str) -> Iterator[str]:
    """Extract an archive whose first entry is the root of all others; yield a complaint for everything left out.

    Arguments:
        directory: an existing one, where the root appears.
        name: what the root is called there; "" when only what is in it shall appear.

    Raises:
        HostError: the archive is malformed, leads out, or a directory and a file are in each other's way.
        OSError: something cannot be written.
    """
    extraction = _Extraction(directory, name)
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Reader(archive)), mode="r|", errorlevel=2) as tar:
            for member in tar:
                complaint = extraction.add(tar, member)
                if complaint:
                    yield complaint
    except tarfile.TarError as error:
        raise HostError(f"cannot read the archive of the container's files: {error}") from error
    extraction.finish()


class _Reader:
    """What tarfile wants to read from."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (data := next(self._parts, b"")):
            self._rest += data
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


class _Extraction:
    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._root = directory / name if name else directory
        self._skip_root = not name
        self._prefix: list[str] | None = None
        """The root's name in the archive, known with the first entry."""
        self._directories: list[tuple[Path, tarfile.TarInfo]] = []
        self._files: dict[tuple[str, ...], Path] = {}
        """Regular files by their place below the root, for hard links."""

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
        """Extract one entry; returns why it was left out, "" when it was not."""
        below = self._below(member.name)
        if not below and self._skip_root:
            return ""
        path = self._root.joinpath(*below)
        self._check_parents(path)
        self._files.pop(below, None)
        if member.isdir():
            self._make_directory(path, member)
        elif member.isreg():
            self._write(tar, path, member)
            self._files[below] = path
        elif member.issym():
            return self._link(path, len(below) - 1, member)
        elif member.islnk():
            return self._hard_link(path, below, member)
        else:
            return f"left out {member.name}: neither a file nor a directory nor a link"
        return ""

    def _below(self, name: str) -> tuple[str, ...]:
        """The parts of an entry's name below the root.

        Raises:
            HostError: it lies elsewhere, or leads out.
        """
        parts = _split(name)
        if self._prefix is None:
            self._prefix = parts
        length = len(self._prefix)
        if parts[:length] != self._prefix:
            raise HostError(f"refused an archive with {name[:100]!r} beside what was asked for")
        return tuple(parts[length:])

    def finish(self) -> None:
        """Give directories their permissions and times, which writing into them would have changed or prevented."""
        for path, member in reversed(self._directories):
            with suppress(OSError):
                path.chmod(member.mode & PERMISSIONS)
                os.utime(path, (member.mtime, member.mtime))

    def _check_parents(self, path: Path) -> None:
        """Every directory on the way is a real one: a link on it, whoever made it, would lead elsewhere.

        Missing ones are made, as an archive need not name them.
        """
        at = self._directory
        for part in path.relative_to(self._directory).parts[:-1]:
            at /= part
            try:
                mode = at.lstat().st_mode
            except FileNotFoundError:
                at.mkdir()
                continue
            if not stat.S_ISDIR(mode):
                raise HostError(f"cannot copy into {at}: not a directory", "remove it first")

    def _make_directory(self, path: Path, member: tarfile.TarInfo) -> None:
        try:
            path.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise HostError(f"cannot overwrite {path} with a directory", "remove it first") from None
        self._directories.append((path, member))

    def _clear(self, path: Path) -> None:
        """Remove what a file or link replaces; removed and made anew, so that an old link is not written through."""
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            raise HostError(f"cannot overwrite directory {path} with a file", "remove it first")
        path.unlink()

    def _write(self, tar: tarfile.TarFile, path: Path, member: tarfile.TarInfo) -> None:
        self._clear(path)
        source = tar.extractfile(member)
        with path.open("xb") as file:
            while source and (data := source.read(CHUNK)):
                file.write(data)
        with suppress(OSError):
            path.chmod(member.mode & PERMISSIONS)
            os.utime(path, (member.mtime, member.mtime))

    def _link(self, path: Path, depth: int, member: tarfile.TarInfo) -> str:
        if not stays_inside(depth, member.linkname):
            return f"left out {member.name}: a link that leads out of what is copied ({member.linkname})"
        self._clear(path)
        try:
            path.symlink_to(member.linkname)
        except (OSError, NotImplementedError) as error:  # Windows lets few people make links
            return f"left out {member.name}: cannot make a link ({error})"
        return ""

    def _hard_link(self, path: Path, below: tuple[str, ...], member: tarfile.TarInfo) -> str:
        target = self._files.get(self._below(member.linkname))
        if target is None:
            return f"left out {member.name}: a link to {member.linkname}, which is not in what is copied"
        self._clear(path)
        os.link(target, path)
        self._files[below] = path
        return ""


def _split(name: str) -> list[str]:
    """The parts of a name, without `.` and double slashes.

    Raises:
        HostError: it leads out, on this system or on any.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name or any(mark in part for part in parts for mark in _FOREIGN):
        raise HostError(f"cannot copy {name[:100]!r}: such a name is not possible here")
    return parts


def stays_inside(depth: int, target: str) -> bool:
    """Whether a link leads to somewhere below the root, step by step (pure).

    Arguments:
        depth: how many directories below the root the link is in; -1 for the root itself.
    """
    if posixpath.isabs(target) or not target or any(mark in target for mark in _FOREIGN):
        return False
    if depth < 0:  # a copy of one link: its neighbours are not part of the copy, but they are where it is
        return "/" not in target and target not in (".", "..")
    for part in target.split("/"):
        depth += 0 if part in ("", ".") else -1 if part == ".." else 1
        if depth < 0:
            return False
    return True
