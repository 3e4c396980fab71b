"""Kernels as packages ship them, and the modules that go with them."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
from types import SimpleNamespace

import pytest

from atoll_images.compression import decompress
from atoll_images.errors import ImageError
from atoll_images.kernel import extract_arm64_image, extract_vmlinux, prepare_kernel
from atoll_images.kernel_modules import MODULE_DIRECTORY, ModuleSet, add_modules
from atoll_images.tree import Tree

VMLINUX = b"\x7fELF\x02\x01\x01" + bytes(9) + b"kernel" * 1000
ARM64 = b"MZ" + bytes(54) + b"ARM\x64" + b"kernel" * 100


def make_bzimage(payload: bytes, length: int | None = None) -> bytes:
    setup = 3
    image = bytearray((setup + 1) * 512)
    image[0x1F1] = setup
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 16, len(payload) if length is None else length)
    return bytes(image) + bytes(16) + payload


def make_zstd(data: bytes) -> bytes:
    """One raw block, RFC 8878: magic, single-segment header with an 8-byte size, blocks of at most 128 KiB."""
    assert len(data) < 1 << 17
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", len(data)) + (len(data) << 3 | 1).to_bytes(3, "little") + data


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, make_zstd])
def test_vmlinux(pack: object) -> None:
    assert callable(pack)
    # The payload is followed by its size, which is no part of the compressed stream.
    payload = pack(VMLINUX) + struct.pack("<I", len(VMLINUX))
    assert extract_vmlinux(make_bzimage(payload)) == VMLINUX


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "not a bzImage"),
        (make_bzimage(gzip.compress(VMLINUX), 10**6), "truncated bzImage"),
        (make_bzimage(gzip.compress(VMLINUX)[:-9]), "truncated gzip"),
        (make_bzimage(make_zstd(VMLINUX)[:-200]), "truncated zstd"),
        (make_bzimage(b"what is this"), "unknown compression"),
        (make_bzimage(gzip.compress(b"text")), "holds no ELF"),
    ],
)
def test_bad_bzimage(image: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        extract_vmlinux(image)


def test_arm64() -> None:
    packed = gzip.compress(ARM64)
    zboot = b"MZ\0\0zimg" + struct.pack("<II", 64, len(packed)) + bytes(48) + packed
    for kernel in (ARM64, packed, zboot):
        assert extract_arm64_image(kernel) == ARM64
    with pytest.raises(ImageError, match="not an arm64 Image"):
        prepare_kernel("arm64", b"MZ" + bytes(100))
    with pytest.raises(ImageError, match="not a bzImage"):
        prepare_kernel("amd64", ARM64)


def test_damaged_compression() -> None:
    for data in (gzip.compress(b"x" * 99)[:-3], lzma.compress(b"x" * 99)[:-3], make_zstd(b"x" * 99)[:-3]):
        with pytest.raises(ImageError, match="damaged"):
            decompress(data, "test")
    assert decompress(b"plain", "test") == b"plain"


@pytest.fixture
def modules(make: SimpleNamespace) -> ModuleSet:
    tree = Tree()
    base = "usr/lib/modules/6.12"
    tree.add_file(f"{base}/modules.builtin", b"kernel/fs/ext4/ext4.ko\nkernel/lib/virtio-ring.ko\n")
    tree.add_file(f"{base}/kernel/a/top-one.ko.xz", lzma.compress(make.module("mid-a,mid_b,virtio_ring")))
    tree.add_file(f"{base}/kernel/b/mid-a.ko.xz", lzma.compress(make.module("base")))
    tree.add_file(f"{base}/kernel/b/mid_b.ko", make.module("base"))
    tree.add_file(f"{base}/kernel/b/base.ko", make.module())
    return ModuleSet(tree, "6.12")


def test_load_order(modules: ModuleSet) -> None:
    found = modules.closure(["top_one", "ext4", "base"])
    assert [module.name for module in found] == ["base", "mid_a", "mid_b", "top_one"]
    assert found[-1].data.startswith(b"\x7fELF")


def test_index(modules: ModuleSet) -> None:
    tree = Tree()
    add_modules(tree, modules.closure(["top-one"]))
    index = json.loads(tree[f"{MODULE_DIRECTORY}/modules.json"].data)
    # The index names only what can be loaded: what is built in is no dependency.
    assert index["top_one"] == {"file": "top_one.ko", "depends": ["mid_a", "mid_b"]}
    assert all(f"{MODULE_DIRECTORY}/{entry['file']}" in tree for entry in index.values())
    assert all(name in index for entry in index.values() for name in entry["depends"])


def test_no_such_module(modules: ModuleSet) -> None:
    with pytest.raises(ImageError, match="no module nothing"):
        modules.closure(["nothing"])
