"""Reading Debian binary packages: deb(5), an ar(5) archive that holds a control tar and a data tar.

Only files are taken out; maintainer scripts are never run and ownership is dropped. A package is hostile input until
its hash has been compared, and a damaged one even after that, so every path and size is checked.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable, Iterator

from .compression import decompress
from .errors import ImageError
from .tree import Node, Tree, clean_path

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def read_members(data: bytes, what: str) -> Iterator[tuple[str, bytes]]:
    """Read an ar archive's members: name and content."""
    if not data.startswith(_AR_MAGIC):
        raise ImageError(f"{what}: not a Debian package")
    offset = len(_AR_MAGIC)
    while offset < len(data):
        header = data[offset : offset + _AR_HEADER]
        if len(header) < _AR_HEADER or header[58:60] != b"`\n" or not header[48:58].strip().isdigit():
            raise ImageError(f"{what}: damaged or truncated package")
        size = int(header[48:58])
        offset += _AR_HEADER
        if offset + size > len(data):
            raise ImageError(f"{what}: truncated package")
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), data[offset : offset + size]
        offset += size + size % 2


def read_data_tar(data: bytes, what: str) -> bytes:
    """Take the uncompressed data tar out of a package."""
    for name, member in read_members(data, what):
        if name.startswith("data.tar"):
            return decompress(member, what)
    raise ImageError(f"{what}: package without data.tar")


def unpack(data: bytes, tree: Tree, what: str, wanted: Callable[[str], bool] = lambda path: True) -> None:
    """Add those files of a package to a tree whose path `wanted` accepts."""
    try:
        with tarfile.open(fileobj=io.BytesIO(read_data_tar(data, what)), mode="r:") as archive:
            unpacked: dict[str, Node] = {}
            for member in archive:
                _add_member(archive, member, tree, unpacked, what, wanted)
    except tarfile.TarError as error:
        raise ImageError(f"{what}: damaged package: {error}") from error


def _add_member(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    tree: Tree,
    unpacked: dict[str, Node],
    what: str,
    wanted: Callable[[str], bool],
) -> None:
    path = clean_path(member.name, what)
    if not path or not wanted(path):
        return
    mode = member.mode & 0o7777
    if member.isdir():
        if path not in tree:
            tree.add_directory(path, mode)
        return
    if member.issym():
        tree.add_link(path, member.linkname)
        return
    if member.islnk():
        node = unpacked.get(clean_path(member.linkname, what))
        if node is None:
            raise ImageError(f"{what}: hard link to a missing file: {member.linkname!r}")
    elif member.isfile():
        stream = archive.extractfile(member)
        node = Node(stat.S_IFREG | mode, stream.read() if stream else b"")
        if len(node.data) != member.size:
            raise ImageError(f"{what}: truncated package")
    else:
        raise ImageError(f"{what}: unexpected device node {member.name!r}")
    unpacked[path] = node
    tree.put(path, node)
