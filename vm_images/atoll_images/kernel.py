"""Kernels as packages ship them, and as QEMU wants them.

The x86 kernel is a bzImage: a real-mode stub, a decompressor and the kernel as a compressed ELF. Under emulation the
decompressor is the larger half of the boot, so the host unpacks the ELF once (`extract_vmlinux`) and QEMU enters it
directly through its PVH note. The arm64 kernel is an `Image`, at times wrapped for EFI or gzip.
"""

from __future__ import annotations

import struct

from .compression import decompress_prefix, find_format
from .elf import is_elf
from .errors import ImageError

_SETUP_SECTS, _HEADER_MAGIC, _PAYLOAD = 0x1F1, 0x202, 0x248
_ARM64_MAGIC_OFFSET = 0x38


def extract_vmlinux(bzimage: bytes) -> bytes:
    """Unpack the ELF kernel of a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset).

    Raises:
        ImageError: not a bzImage, or damaged.
    """
    if bzimage[_HEADER_MAGIC : _HEADER_MAGIC + 4] != b"HdrS":
        raise ImageError("kernel: not a bzImage")
    setup_sectors = bzimage[_SETUP_SECTS] or 4
    offset, length = struct.unpack_from("<II", bzimage, _PAYLOAD)
    start = (setup_sectors + 1) * 512 + offset
    if not length or start + length > len(bzimage):
        raise ImageError("kernel: truncated bzImage")
    # The last four bytes of the payload are the size of what is in it.
    vmlinux = decompress_prefix(bzimage[start : start + length], "kernel")
    if not is_elf(vmlinux):
        raise ImageError("kernel: the bzImage holds no ELF kernel")
    return vmlinux


def extract_arm64_image(kernel: bytes) -> bytes:
    """Unwrap an arm64 kernel to its `Image` (Documentation/arch/arm64/booting.rst), which QEMU takes in every version.

    Raises:
        ImageError: of another kind, or damaged.
    """
    if find_format(kernel) is not None:
        kernel = decompress_prefix(kernel, "kernel")
    elif kernel[:2] == b"MZ" and kernel[4:8] == b"zimg":
        # EFI zboot, drivers/firmware/efi/libstub/zboot-header.S: payload offset and size at 8 and 12.
        offset, size = struct.unpack_from("<II", kernel, 8)
        kernel = decompress_prefix(kernel[offset : offset + size], "kernel")
    if kernel[_ARM64_MAGIC_OFFSET : _ARM64_MAGIC_OFFSET + 4] != b"ARM\x64":
        raise ImageError("kernel: not an arm64 Image")
    return kernel


def prepare_kernel(arch: str, kernel: bytes) -> bytes:
    """The package's kernel in the form that `-kernel` takes."""
    if arch == "arm64":
        return extract_arm64_image(kernel)
    if kernel[_HEADER_MAGIC : _HEADER_MAGIC + 4] != b"HdrS":
        raise ImageError("kernel: not a bzImage")
    return kernel
