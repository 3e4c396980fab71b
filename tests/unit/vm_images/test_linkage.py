"""Every library that is asked for is there, and no other."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_images.elf import parse_elf
from atoll_images.errors import ImageError
from atoll_images.linkage import check_linkage, drop_unneeded_libraries
from atoll_images.tree import Tree

LIB = "usr/lib/x86_64-linux-gnu"


def make_tree(make: SimpleNamespace) -> Tree:
    tree = Tree()
    tree.add_file("usr/bin/program", make.elf(("liba.so.1",), interpreter="/lib64/ld.so"))
    tree.add_link(f"{LIB}/liba.so.1", "liba.so.1.2")
    tree.add_file(f"{LIB}/liba.so.1.2", make.elf(("libb.so.1",)))
    tree.add_file(f"{LIB}/libb.so.1", make.elf())
    tree.add_file(f"{LIB}/ld.so", make.elf())
    tree.add_link("usr/lib64/ld.so", "../lib/x86_64-linux-gnu/ld.so")
    return tree


def test_reads_what_is_needed(make: SimpleNamespace) -> None:
    elf = parse_elf(make.elf(("liba.so.1", "libb.so.2"), interpreter="/lib64/ld.so"), "x")
    assert (elf.needed, elf.interpreter, elf.machine) == (("liba.so.1", "libb.so.2"), "/lib64/ld.so", "amd64")


def test_complete(make: SimpleNamespace) -> None:
    check_linkage(make_tree(make), "amd64")


@pytest.mark.parametrize("path", [f"{LIB}/libb.so.1", f"{LIB}/liba.so.1.2", "usr/lib64/ld.so"])
def test_missing(make: SimpleNamespace, path: str) -> None:
    tree = make_tree(make)
    tree.remove(path)
    with pytest.raises(ImageError, match="lacks libraries"):
        check_linkage(tree, "amd64")


def test_foreign_architecture(make: SimpleNamespace) -> None:
    tree = make_tree(make)
    tree.add_file("usr/bin/arm", make.elf(machine=183))
    with pytest.raises(ImageError, match="built for arm64, not amd64"):
        check_linkage(tree, "amd64")


def test_unneeded_libraries_go_with_all_they_alone_needed(make: SimpleNamespace) -> None:
    tree = make_tree(make)
    tree.add_file(f"{LIB}/libc.so.1", make.elf(("libd.so.1",)))
    tree.add_file(f"{LIB}/libd.so.1", make.elf())
    tree.add_link(f"{LIB}/libd.so", "libd.so.1")
    assert drop_unneeded_libraries(tree, "amd64") == [f"{LIB}/libc.so.1", f"{LIB}/libd.so.1"]
    assert f"{LIB}/libd.so" not in tree
    check_linkage(tree, "amd64")


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damaged_elf(offset: int, noise: bytes) -> None:
    data = bytearray(b"\x7fELF\x02\x01\x01" + bytes(500))
    data[7 + offset : 7 + offset + len(noise)] = noise
    with contextlib.suppress(ImageError):
        parse_elf(bytes(data), "noise")
