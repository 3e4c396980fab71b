"""An empty qcow2 disk, written directly, so that no `qemu-img` is needed (QEMU `docs/interop/qcow2.txt`, version 3)."""

from __future__ import annotations

import struct
from pathlib import Path

from ..system.files import write_whole

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
MAGIC = 0x514649FB
HEADER_LENGTH = 104
REFCOUNT_ORDER = 4


def build_empty(size_bytes: int) -> bytes:
    """The file of an empty disk: header, refcount table, one refcount block, and the L1 table.

    Arguments:
        size_bytes: what the guest sees; rounded up to 512.
    """
    size_bytes = -(-size_bytes // 512) * 512
    entries = -(-size_bytes // (CLUSTER * (CLUSTER // 8)))
    l1_clusters = max(1, -(-entries * 8 // CLUSTER))
    header = struct.pack(
        ">IIQIIQIIQQIIQQQQII",
        MAGIC, 3, 0, 0, CLUSTER_BITS, size_bytes, 0, entries, 3 * CLUSTER, CLUSTER, 1, 0, 0,
        0, 0, 0, REFCOUNT_ORDER, HEADER_LENGTH,
    )  # fmt: skip
    table = struct.pack(">Q", 2 * CLUSTER)
    block = struct.pack(">H", 1) * (3 + l1_clusters)
    return b"".join(part.ljust(CLUSTER, b"\0") for part in (header, table, block)) + bytes(l1_clusters * CLUSTER)


def read_size(path: Path) -> int:
    """The guest-visible size of a qcow2 file in bytes.

    Raises:
        ValueError: not a qcow2 file.
    """
    with path.open("rb") as file:
        head = file.read(32)
    if len(head) < 32 or struct.unpack_from(">I", head)[0] != MAGIC:
        raise ValueError(f"{path} is not a qcow2 disk")
    return int(struct.unpack_from(">Q", head, 24)[0])


def create_disk(path: Path, size_bytes: int) -> None:
    """Make an empty disk; whole or not at all."""
    write_whole(path, build_empty(size_bytes))
