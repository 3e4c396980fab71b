"""EROFS images, read back by a reader that knows the format from the kernel's documentation, not from our writer."""

from __future__ import annotations

import stat
import struct

import pytest

from atoll_images.crc32c import crc32c
from atoll_images.erofs import write_erofs
from atoll_images.errors import ImageError
from atoll_images.tree import Node, Tree

BLOCK = 4096


class Reader:
    """Follows fs/erofs: superblock, compact inodes, flat data, directories."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.magic, self.checksum, _, bits, _, self.root = struct.unpack_from("<IIIBBH", image, 1024)
        self.blocks, self.meta = struct.unpack_from("<II", image, 1024 + 36)
        assert bits == 12

    def inode(self, nid: int) -> tuple[int, int, int, bytes]:
        at = self.meta * BLOCK + nid * 32
        layout, _, mode, links, size, _, block, number = struct.unpack_from("<HHHHIIII", self.image, at)
        assert layout in (0, 4)
        if layout == 4:
            whole, tail = size // BLOCK * BLOCK, size % BLOCK
            assert at // BLOCK == (at + 32 + tail - 1) // BLOCK, "inline tail crosses a block"
            content = self.image[block * BLOCK : block * BLOCK + whole] + self.image[at + 32 : at + 32 + tail]
        else:
            content = self.image[block * BLOCK : block * BLOCK + size]
        assert len(content) == size
        return mode, links, number, content

    def entries(self, content: bytes) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for start in range(0, len(content), BLOCK):
            piece = content[start : start + BLOCK]
            count = struct.unpack_from("<H", piece, 8)[0] // 12
            rows = [struct.unpack_from("<QHBB", piece, i * 12) for i in range(count)]
            ends = [row[1] for row in rows[1:]] + [len(piece)]
            for row, end in zip(rows, ends, strict=True):
                found[piece[row[1] : end].rstrip(b"\0")] = row[0]
        assert list(found) == sorted(found)
        return found

    def walk(self, nid: int | None = None, path: str = "") -> dict[str, tuple[int, int, bytes]]:
        nid = self.root if nid is None else nid
        mode, links, _, content = self.inode(nid)
        if not stat.S_ISDIR(mode):
            return {path: (mode, links, content)}
        result = {path: (mode, links, b"")}
        entries = self.entries(content)
        assert entries.pop(b".") == nid
        del entries[b".."]
        for name, child in entries.items():
            result |= self.walk(child, f"{path}/{name.decode()}".lstrip("/"))
        return result


def make_tree() -> Tree:
    tree = Tree()
    for size in (0, 1, 31, 4064, 4065, 4095, 4096, 4097, 8192 + 4064, 3 * 4096 - 1):
        tree.add_file(f"sizes/{size:05}", bytes((i * 7 + size) % 251 for i in range(size)))
    for i in range(700):
        tree.add_link(f"many/{i:03}-with-a-rather-long-name", "busybox")
    tree.add_directory("tmp", 0o1777)
    shared = Node(stat.S_IFREG | 0o755, b"shared")
    tree.put("hard/a", shared)
    tree.put("hard/b", shared)
    tree.add_file("+first", b"sorts before a dot")
    return tree


def test_everything_is_read_back() -> None:
    tree = make_tree()
    found = Reader(write_erofs(tree, 1)).walk()
    expected = {path: (node.mode, node.data) for path, node in tree.items()}
    assert {path: (mode, data) for path, (mode, _, data) in found.items()} == expected
    assert found["hard/a"][1] == found["hard/b"][1] == 2
    assert found[""][1] == 2 + 4


def test_superblock() -> None:
    image = write_erofs(make_tree(), 1)
    reader = Reader(image)
    assert (reader.magic, reader.blocks * BLOCK) == (0xE0F5E1E2, len(image))
    block = bytearray(image[1024:BLOCK])
    block[4:8] = bytes(4)
    assert reader.checksum == crc32c(bytes(block)) ^ 0xFFFFFFFF


def test_equal_trees_give_equal_bytes_and_others_another_identity() -> None:
    one, two = write_erofs(make_tree(), 1), write_erofs(make_tree(), 1)
    assert one == two
    other = make_tree()
    other.add_file("more", b"")
    assert write_erofs(other, 1)[1024 + 52 : 1024 + 68] != one[1024 + 52 : 1024 + 68]


def test_crc32c_known_answer() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_name_too_long() -> None:
    tree = Tree()
    tree.add_file("n" * 256, b"")
    with pytest.raises(ImageError, match="file name too long"):
        write_erofs(tree, 1)
