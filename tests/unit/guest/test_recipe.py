"""A layer's archive is given back byte for byte, or not at all."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

if sys.platform != "linux":
    pytest.skip("layers are kept on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.images.layers import LayerStore, Unpacked


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    for name in ("layers", "staging"):
        (tmp_path / name).mkdir()
    return LayerStore(tmp_path / "layers", tmp_path / "staging")


def unpack(store: LayerStore, data: bytes, make: SimpleNamespace) -> Unpacked:
    with store.staging() as staging:
        layer = store.unpack_file(io.BytesIO(data), make.digest(data), staging)
        store.place(layer)
    return layer


ARCHIVES = {
    "plain": lambda m: m.pack(m.directory("d"), m.member("d/a", b"1" * 1000), m.symlink("l", "d"), m.link("h", "d/a")),
    "through a symlink": lambda m: m.pack(m.directory("d"), m.symlink("l", "d"), m.member("l/a", b"inside")),
    "twice": lambda m: m.pack(m.member("a", b"first"), m.member("a", b"second"), m.member("b", b"3")),
    "twice alike": lambda m: m.pack(m.member("a", b"same"), m.member("a", b"same")),
    "a file for a tree": lambda m: m.pack(m.directory("d"), m.member("d/a", b"gone"), m.member("d", b"file")),
    "trailing": lambda m: m.pack(m.member("a", b"1")) + bytes(5000) + b"trailing",
    "gnu": lambda m: m.pack(m.member("n" * 200, b"1"), format=tarfile.GNU_FORMAT),
    "empty files": lambda m: m.pack(m.member("a"), m.member("b")),
    "zeros": lambda m: m.pack(m.member("a", bytes(300_000) + b"end" + bytes(70_000))),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_same_bytes(make: SimpleNamespace, store: LayerStore, name: str) -> None:
    data = ARCHIVES[name](make)
    layer = unpack(store, data, make)
    assert b"".join(store.archive(layer.digest)) == data
    assert store.archive_size(layer.digest) == len(data)


def test_an_archive_is_kept_whole_only_where_content_is_hidden(
    make: SimpleNamespace, store: LayerStore, tmp_path: Path
) -> None:
    kept = {}
    for name in ("plain", "twice", "twice alike", "a file for a tree"):
        layer = unpack(store, ARCHIVES[name](make), make)
        kept[name] = (tmp_path / "layers" / layer.digest[7:] / "archive.gz").exists()
    assert kept == {"plain": False, "twice": True, "twice alike": False, "a file for a tree": True}


def test_a_changed_layer_is_not_passed_off_as_what_it_was(
    make: SimpleNamespace, store: LayerStore, tmp_path: Path
) -> None:
    data = ARCHIVES["plain"](make)
    layer = unpack(store, data, make)
    file = store.directory(layer.digest) / "d/a"
    for change in (lambda: file.write_bytes(b"2" * 1000), lambda: file.write_bytes(b"2"), file.unlink):
        change()
        given = []
        with pytest.raises(AgentError, match=r"not what it was|packed again"):
            for part in store.archive(layer.digest):
                given.append(part)
        assert len(b"".join(given)) < len(data)


def test_a_torn_recipe(make: SimpleNamespace, store: LayerStore, tmp_path: Path) -> None:
    layer = unpack(store, ARCHIVES["plain"](make), make)
    recipe = tmp_path / "layers" / layer.digest[7:] / "recipe"
    whole = recipe.read_bytes()
    for text in (b"", whole[: len(whole) // 2], b"nonsense" * 20):
        recipe.write_bytes(text)
        with pytest.raises(AgentError, match="packed again"):
            list(store.archive(layer.digest))
    recipe.unlink()
    with pytest.raises(AgentError, match="packed again"):
        list(store.archive(layer.digest))
