"""A file tree in memory: what a root file system will hold, before it is written in any format.

Paths are relative, with `/` between the parts; the root itself is `""`. Two paths that share one `Node` object are
hard links of each other. Owner and times are not kept: in our images everything belongs to root and has one date.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import ImageError

MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
"""Top-level directories that are links into /usr (Debian's merged /usr): packages may still name files in them."""


@dataclass(eq=False)
class Node:
    """A file, directory or symbolic link (`data` is its target)."""

    mode: int
    data: bytes = b""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def clean_path(name: str, what: str) -> str:
    """Normalise a package's path into ours, refusing one that leads out of the tree."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise ImageError(f"{what}: path leads out of the package: {name!r}")
    if parts and parts[0] in MERGED:
        parts.insert(0, "usr")
    return "/".join(parts)


class Tree:
    """Paths and their nodes; every node's parent directory is in the tree too."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"": Node(stat.S_IFDIR | 0o755)}

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def __getitem__(self, path: str) -> Node:
        try:
            return self._nodes[path]
        except KeyError:
            raise ImageError(f"image has no /{path}") from None

    def items(self) -> Iterator[tuple[str, Node]]:
        """All paths and nodes, in byte order of the path, a directory before its content."""
        return iter(sorted(self._nodes.items(), key=lambda item: item[0].encode().split(b"/")))

    def files(self) -> Iterator[tuple[str, Node]]:
        """The regular files."""
        return ((path, node) for path, node in self.items() if node.is_file)

    def put(self, path: str, node: Node) -> None:
        """Add or replace; a directory over a directory keeps what is in it."""
        self._make_parents(path)
        present = self._nodes.get(path)
        if present is not None and present.is_directory != node.is_directory:
            raise ImageError(f"image: /{path} is both a directory and not")
        self._nodes[path] = node

    def add_directory(self, path: str, mode: int = 0o755) -> None:
        """Add a directory."""
        self.put(path, Node(stat.S_IFDIR | mode))

    def add_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self.put(path, Node(stat.S_IFREG | mode, data))

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self.put(path, Node(stat.S_IFLNK | 0o777, target.encode()))

    def remove(self, path: str) -> None:
        """Remove a path and, if it is a directory, all below it."""
        for gone in [name for name in self._nodes if name == path or name.startswith(path + "/")]:
            del self._nodes[gone]

    def find_file(self, path: str) -> str | None:
        """Follow symbolic links, as seen from the root, to a regular file or directory; None if there is none."""
        for _ in range(16):
            if path not in self._nodes:
                return None
            node = self._nodes[path]
            if not node.is_link:
                return path
            path = _join(path.rpartition("/")[0], node.data.decode())
        return None

    def remove_dangling_links(self) -> None:
        """Remove relative symbolic links that lead nowhere; absolute ones may lead to what only exists at run time."""
        while True:
            dangling = [
                path
                for path, node in self._nodes.items()
                if node.is_link and not node.data.startswith(b"/") and self.find_file(path) is None
            ]
            if not dangling:
                return
            for path in dangling:
                self.remove(path)

    def _make_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self._nodes:
            self.add_directory(parent)
        elif not self._nodes[parent].is_directory:
            raise ImageError(f"image: /{parent} is not a directory, yet has /{path} in it")


def _join(directory: str, target: str) -> str:
    """The path a link in `directory` means, in the form the tree's paths have."""
    parts = [] if target.startswith("/") or not directory else directory.split("/")
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return clean_path("/".join(parts), target)
