"""Trees of files that somebody else made, removed (whatever their depth) and measured; no symlink is followed."""

from __future__ import annotations

import contextlib
import os
from itertools import count
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent: int, name: str) -> None:
    """Remove a directory and all in it.

    Directories within are first moved up until they stand directly below it: a tree that is deeper than a path may be
    long, or a program may have open files, goes as any other does.

    Raises:
        OSError: it is no directory, something in it is mounted, or the file system refuses.
    """
    top = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        numbers = count()
        while directories := _remove_files(top):
            for directory in directories:
                _empty(top, directory, numbers)
                os.rmdir(directory, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _remove_files(directory: int) -> list[str]:
    """Remove all but directories; returns these."""
    found = []
    with os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return found


def _empty(top: int, name: str, numbers: count[int]) -> None:
    """Remove what is in a directory below the top, and move directories in it to the top."""
    directory = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for inner in _remove_files(directory):
            try:
                os.rmdir(inner, dir_fd=directory)  # most are empty, or few are not
            except OSError:
                _move_up(directory, inner, top, numbers)
    finally:
        os.close(directory)


def _move_up(directory: int, inner: str, top: int, numbers: count[int]) -> None:
    for number in numbers:
        # A name that is taken by an empty directory is as good: rename(2) replaces it.
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            os.rename(inner, f".{number}.removing", src_dir_fd=directory, dst_dir_fd=top)
            return


def remove_path(path: str | os.PathLike[str]) -> None:
    """Remove a directory given by its path, and all in it; nothing where there is none.

    Raises:
        OSError: as `remove_tree`.
    """
    head, tail = os.path.split(os.fspath(path))
    try:
        parent = os.open(head or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            remove_tree(parent, tail)
    finally:
        os.close(parent)


def tree_size(root: Path) -> int:
    """Bytes in the regular files and links below a directory; a file with several names counts once.

    What is deeper than a path may be long is not counted.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [str(root)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink > 1 and (status.st_dev, status.st_ino) in seen:
                        continue
                    if status.st_nlink > 1:
                        seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
        except OSError:
            continue  # it went while we were looking
    return total
