"""Writing EROFS images (Documentation/filesystems/erofs.rst, fs/erofs/erofs_fs.h): uncompressed, compact inodes.

Uncompressed on purpose: under emulation the guest would pay for every block it decompresses, and the host can share
the file's pages between machines. Layout: block 0 holds the superblock, then come the blocks of inodes with small
contents and file tails inline, then the blocks of file data. Nothing but the tree and `build_time` enters the output.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from .crc32c import crc32c
from .erofs_directory import directory_size, format_directory
from .errors import ImageError
from .tree import Node, Tree

BLOCK_BITS = 12
BLOCK = 1 << BLOCK_BITS
_SLOT = 32
_INODE = 32
_SUPER_OFFSET = 1024
_MAGIC = 0xE0F5E1E2
_COMPAT_CHECKSUM = 1
_COMPAT_MTIME = 2
_FLAT_PLAIN = 0
_FLAT_INLINE = 2
_META_BLOCK = 1
_OPEN_BLOCKS = 64
"""How many partly filled inode blocks are kept for a smaller inode that may still fit."""


@dataclass
class _Inode:
    """An inode on its way to the image.

    Attributes:
        children: name, node id of each entry; directories only.
        tail: bytes that lie behind the inode itself.
        block: first data block.
        offset: where the inode lies, from the start of the inode area.
    """

    node: Node
    number: int
    size: int
    links: int = 1
    children: dict[bytes, _Inode] = field(default_factory=dict)
    parent: _Inode | None = None
    tail: int = 0
    inline: bool = False
    block: int = 0
    offset: int = 0

    @property
    def nid(self) -> int:
        return self.offset // _SLOT


def write_erofs(tree: Tree, build_time: int) -> bytes:
    """Format a tree as a file system image.

    Arguments:
        build_time: seconds since 1970; every file's modification time, as compact inodes have none of their own.
    """
    inodes = _collect(tree)
    blocks = _place_inodes(inodes)
    end = _place_data(inodes, _META_BLOCK + blocks)
    image = bytearray(end * BLOCK)
    for inode in inodes:
        _write_inode(image, inode)
    _write_superblock(image, len(inodes), inodes[0].nid, build_time)
    return bytes(image)


def _collect(tree: Tree) -> list[_Inode]:
    """All inodes, the root first; hard links share one."""
    by_node: dict[int, _Inode] = {}
    by_path: dict[str, _Inode] = {}
    inodes: list[_Inode] = []
    for path, node in tree.items():
        inode = by_node.get(id(node))
        if inode is None:
            inode = _Inode(node, len(inodes) + 1, len(node.data), links=0)
            by_node[id(node)] = inode
            inodes.append(inode)
        inode.links += 1
        by_path[path] = inode
        _attach(inode, path, by_path)
    for inode in inodes:
        if inode.node.is_directory:
            inode.size = directory_size(inode.children, BLOCK)
            inode.links = 2 + sum(child.node.is_directory for child in inode.children.values())
    return inodes


def _attach(inode: _Inode, path: str, by_path: dict[str, _Inode]) -> None:
    if not path:
        inode.parent = inode
        return
    parent, _, name = path.rpartition("/")
    encoded = name.encode()
    if len(encoded) > 255:
        raise ImageError(f"image: file name too long: {name}")
    inode.parent = by_path[parent]
    by_path[parent].children[encoded] = inode


def _place_inodes(inodes: list[_Inode]) -> int:
    """Give every inode its place, first fit; returns the number of blocks used.

    An inode and its inline tail must lie within one block. The root comes first: its number has only 16 bits.
    """
    free: list[tuple[int, int]] = []
    count = 0
    for inode in inodes:
        inode.tail = inode.size % BLOCK
        inode.inline = 0 < inode.tail <= BLOCK - _INODE
        needed = _round_up(_INODE + (inode.tail if inode.inline else 0), _SLOT)
        place = next((i for i, (_, room) in enumerate(free) if room >= needed), None)
        if place is None:
            free.append((count * BLOCK, BLOCK))
            count += 1
            place = len(free) - 1
        start, room = free[place]
        inode.offset = start
        if room - needed >= _SLOT:
            free[place] = (start + needed, room - needed)
        else:
            del free[place]
        if len(free) > _OPEN_BLOCKS:
            free.remove(min(free, key=lambda item: item[1]))
    return count


def _place_data(inodes: list[_Inode], block: int) -> int:
    for inode in inodes:
        whole = inode.size // BLOCK if inode.inline else -(-inode.size // BLOCK)
        if whole:
            inode.block = block
            block += whole
    if block >= 2**32:
        raise ImageError("image: too large")
    return block


def _content(inode: _Inode) -> bytes:
    if not inode.node.is_directory:
        return inode.node.data
    assert inode.parent is not None
    entries = {name: (child.nid, child.node.mode) for name, child in inode.children.items()}
    return format_directory(entries, inode.nid, inode.parent.nid, BLOCK)


def _write_inode(image: bytearray, inode: _Inode) -> None:
    content = _content(inode)
    layout = _FLAT_INLINE if inode.inline else _FLAT_PLAIN
    position = _META_BLOCK * BLOCK + inode.offset
    struct.pack_into(
        "<HHHHIIIIHHI",
        image,
        position,
        layout << 1,
        0,  # no extended attributes
        inode.node.mode,
        inode.links,
        inode.size,
        0,
        inode.block,
        inode.number,
        0,  # uid
        0,  # gid
        0,
    )
    if inode.inline:
        split = len(content) - inode.tail
        image[position + _INODE : position + _INODE + inode.tail] = content[split:]
        content = content[:split]
    start = inode.block * BLOCK
    if content:
        image[start : start + len(content)] = content


def _write_superblock(image: bytearray, inodes: int, root: int, build_time: int) -> None:
    uuid = bytearray(hashlib.sha256(image).digest()[:16])
    uuid[6] = uuid[6] & 0x0F | 0x80  # RFC 9562: version 8, vendor specific
    uuid[8] = uuid[8] & 0x3F | 0x80
    head = struct.pack(
        "<IIIBBHQQIIII16s16sI",
        _MAGIC,
        0,  # checksum, below
        _COMPAT_CHECKSUM | _COMPAT_MTIME,
        BLOCK_BITS,
        0,
        root,
        inodes,
        build_time,
        0,
        len(image) // BLOCK,
        _META_BLOCK,
        0,
        bytes(uuid),
        b"atoll-root",
        0,
    )
    image[_SUPER_OFFSET : _SUPER_OFFSET + len(head)] = head
    # The kernel leaves out crc32c's last inversion.
    checksum = crc32c(bytes(image[_SUPER_OFFSET:BLOCK])) ^ 0xFFFFFFFF
    struct.pack_into("<I", image, _SUPER_OFFSET + 4, checksum)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
