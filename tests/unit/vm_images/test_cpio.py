"""cpio archives, byte for byte."""

from __future__ import annotations

import stat

import pytest

from atoll_images.cpio import CpioEntry, file_entry, write_cpio
from atoll_images.errors import ImageError

GOLDEN = (
    b"070701" b"00000001" b"000041ED" b"00000000" b"00000000" b"00000002" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000002" b"00000000" b"a\0"
    b"070701" b"00000002" b"000081A4" b"00000000" b"00000000" b"00000001" b"00000000" b"00000003"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000004" b"00000000" b"a/b\0\0\0" b"xyz\0"
    b"070701" b"00000003" b"00000000" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"0000000B" b"00000000" b"TRAILER!!!\0\0\0\0"
)  # fmt: skip


def test_golden() -> None:
    archive = write_cpio([file_entry("a/b", b"xyz")])
    assert archive.rstrip(b"\0") == GOLDEN.rstrip(b"\0")
    assert len(archive) % 512 == 0


def test_archives_can_follow_one_another() -> None:
    both = write_cpio([file_entry("a", b"1")]) + write_cpio([file_entry("b", b"2")])
    assert both.count(b"TRAILER!!!") == 2
    assert both.index(b"070701", 500) % 4 == 0


def test_devices_and_links() -> None:
    archive = write_cpio([CpioEntry("null", stat.S_IFCHR | 0o666, device=(1, 3)), CpioEntry("l", 0o120777, b"to")])
    assert b"0000000100000003" in archive
    assert b"to\0\0" in archive


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../b", "", "a//b", "./a", "a\0b"])
def test_refuses_paths_that_are_not_plain(path: str) -> None:
    with pytest.raises(ImageError, match="not a plain relative path"):
        write_cpio([file_entry(path, b"")])
