"""Packages as they should be, and as they should not."""

from __future__ import annotations

import contextlib
import lzma
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_images.deb import read_members, unpack
from atoll_images.errors import ImageError
from atoll_images.tree import Tree


def unpacked(data: bytes) -> dict[str, bytes]:
    tree = Tree()
    unpack(data, tree, "test")
    return {path: node.data for path, node in tree.items() if not node.is_directory}


def test_files_links_and_merged_usr(make: SimpleNamespace) -> None:
    deb = make.deb({"./bin/a": b"A", "./usr/lib/x/b": b"B", "./lib/l": "x/b"})
    assert unpacked(deb) == {"usr/bin/a": b"A", "usr/lib/x/b": b"B", "usr/lib/l": b"x/b"}


def test_xz(make: SimpleNamespace) -> None:
    deb = make.ar({"debian-binary": b"2.0\n", "data.tar.xz": lzma.compress(make.tar({"./etc/a": b"A"}))})
    assert unpacked(deb) == {"etc/a": b"A"}


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "./usr/../../x"])
def test_path_traversal(make: SimpleNamespace, path: str) -> None:
    with pytest.raises(ImageError, match="leads out of the package"):
        unpacked(make.deb({path: b"evil"}))


def test_a_file_cannot_lie_below_a_link(make: SimpleNamespace) -> None:
    with pytest.raises(ImageError, match="not a directory"):
        unpacked(make.deb({"./etc": "/tmp", "./etc/passwd": b"evil"}))


def test_truncated_anywhere(make: SimpleNamespace) -> None:
    deb = make.ar({"debian-binary": b"2.0\n", "data.tar.xz": lzma.compress(make.tar({"./etc/a": b"A" * 5000}))})
    for size in range(0, len(deb) - 1, 7):
        with pytest.raises(ImageError):
            unpacked(deb[:size])


def test_truncated_tar_inside(make: SimpleNamespace) -> None:
    with pytest.raises(ImageError, match=r"damaged|truncated"):
        unpacked(make.ar({"data.tar": make.tar({"./etc/a": b"A" * 5000})[:2000]}))


@given(st.binary(max_size=300))
def test_noise_is_refused_or_read_but_never_crashes(data: bytes) -> None:
    with contextlib.suppress(ImageError):
        list(read_members(b"!<arch>\n" + data, "noise"))
