"""Image archives: those of `docker save`, OCI layouts, compressed, cut off and made by enemies."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll_agent.api.errors import AgentError
from atoll_agent.images import archive
from atoll_agent.images.archive import ArchivedImage, open_compressed, unpack_archive


def unpack(data: bytes, staging: Path) -> list[ArchivedImage]:
    staging.mkdir(exist_ok=True)
    source = io.BytesIO(data)
    return unpack_archive(open_compressed(source, data[:8]), staging)


def refused(data: bytes, staging: Path) -> str:
    with pytest.raises(AgentError) as caught:
        unpack(data, staging)
    assert caught.value.status == 400
    return caught.value.message


@pytest.fixture
def layers(make: SimpleNamespace) -> list[bytes]:
    return [make.pack(make.member("a", b"1")), make.pack(make.member("b", b"2" * 2000))]


def test_docker_archive_of_two_images_that_share_a_layer(
    make: SimpleNamespace, layers: list[bytes], tmp_path: Path
) -> None:
    first, second = make.config(layers), make.config(layers[:1])
    data = make.docker_archive((first, layers, ["a:1", "b:2"]), (second, layers[:1], []))
    found = unpack(data, tmp_path)
    assert [(image.config, image.names) for image in found] == [(first, ("a:1", "b:2")), (second, ())]
    assert [path.read_bytes() for path in found[0].layers] == layers
    assert [path.read_bytes() for path in found[1].layers] == layers[:1]


def test_oci_layout(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    config = make.config(layers)
    (found,) = unpack(make.oci_archive(config, layers, "docker.io/library/a:1"), tmp_path)
    assert (found.config, found.names) == (config, ("docker.io/library/a:1",))
    assert [path.read_bytes() for path in found.layers] == layers


def test_oci_layout_without_a_name(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    assert unpack(make.oci_archive(make.config(layers), layers), tmp_path)[0].names == ()


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_compressed(make: SimpleNamespace, layers: list[bytes], tmp_path: Path, compress: object) -> None:
    data = make.docker_archive((make.config(layers), layers, ["a"]))
    (found,) = unpack(compress(data), tmp_path)  # type: ignore[operator]
    assert [path.read_bytes() for path in found.layers] == layers


def test_zstd(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    data = make.docker_archive((make.config(layers), layers, ["a"]))
    whole = zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    assert len(unpack(whole, tmp_path / "whole")) == 1
    refused(whole[: len(whole) // 2], tmp_path / "truncated")
    tampered = whole[:-1] + bytes([whole[-1] ^ 1])
    assert "not an image archive" in refused(tampered, tmp_path / "tampered")


def test_links_lead_to_files_of_the_archive_only(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    config = make.config([layers[0], layers[0]])
    manifest = json.dumps([{"Config": "c", "Layers": ["one/layer.tar", "two/layer.tar"], "RepoTags": None}]).encode()
    members = [
        make.member("c", config),
        make.member("one/layer.tar", layers[0]),
        make.member("manifest.json", manifest),
    ]
    (found,) = unpack(make.pack(*members, make.symlink("two/layer.tar", "../one/layer.tar")), tmp_path / "inside")
    assert found.layers[0] == found.layers[1]
    for number, target in enumerate(("/etc/passwd", "../../../../etc/passwd", "missing", "two/layer.tar")):
        data = make.pack(*members, make.symlink("two/layer.tar", target))
        assert "'two/layer.tar', which is not in it" in refused(data, tmp_path / str(number))


def test_names_are_never_paths(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    manifest = json.dumps([{"Config": "../../c", "Layers": [], "RepoTags": []}]).encode()
    staging = tmp_path / "deep" / "staging"
    staging.parent.mkdir()
    data = make.pack(make.member("../../c", b"{}"), make.member("/manifest.json", manifest))
    assert unpack(data, staging)[0].config == b"{}"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != staging] == []


def test_of_two_files_with_one_name_the_last_stands(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    config = make.config(layers[:1])
    manifest = json.dumps([{"Config": "c", "Layers": ["l"], "RepoTags": ["a"]}]).encode()
    members = [("c", b"old"), ("c", config), ("l", b"old"), ("l", layers[0]), ("manifest.json", manifest)]
    (found,) = unpack(make.pack(*(make.member(*member) for member in members)), tmp_path)
    assert found.config == config
    assert found.layers[0].read_bytes() == layers[0]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"{}", "is not a list"),
        (b"[5]", "malformed"),
        (b"[{}]", "malformed"),
        (b'[{"Config": 5, "Layers": []}]', "malformed"),
        (b'[{"Config": "c", "Layers": null}]', "malformed"),
        (b'[{"Config": "c", "Layers": [5]}]', "malformed"),
        (b'[{"Config": "c", "Layers": [], "RepoTags": [{}]}]', "malformed"),
        (b'[{"Config": "missing", "Layers": []}]', "'missing', which is not in it"),
        (b'[{"Config": "c", "Layers": ["missing"]}]', "'missing', which is not in it"),
        (json.dumps([{"Config": "c", "Layers": ["c"] * 600}]).encode(), "more than 512 layers"),
    ],
)
def test_malformed_docker_manifests(make: SimpleNamespace, tmp_path: Path, manifest: bytes, words: str) -> None:
    assert words in refused(make.pack(make.member("c", b"{}"), make.member("manifest.json", manifest)), tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"manifests": 5}',
        b'{"manifests": [5]}',
        b'{"manifests": [{}]}',
        b'{"manifests": [{"digest": 5}]}',
        b'{"manifests": [{"digest": "sha256:0"}]}',
        b'{"manifests": [{"digest": "../../etc/passwd"}]}',
        b'{"manifests": [{"digest": "x", "annotations": {"io.containerd.image.name": 5}}]}',
    ],
)
def test_malformed_oci_indexes(make: SimpleNamespace, tmp_path: Path, index: bytes) -> None:
    refused(make.oci_archive(make.config([]), [], replace={"index.json": index}), tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [b"[]", b"{}", b"5", b"[" * 100_000, b'{"layers": [], "manifests": []}', b'{"layers": [{}], "config": {}}'],
)
def test_malformed_oci_manifests(make: SimpleNamespace, tmp_path: Path, manifest: bytes) -> None:
    digest = make.digest(manifest)
    index = json.dumps({"manifests": [{"digest": digest}]}).encode()
    refused(make.oci_archive(make.config([]), [], replace={"index.json": index, digest: manifest}), tmp_path)


def test_a_blob_that_does_not_have_its_digest(make: SimpleNamespace, layers: list[bytes], tmp_path: Path) -> None:
    config = make.config(layers)
    data = make.oci_archive(config, layers, replace={make.digest(config): config + b" "})
    assert f"blob {make.digest(config)} does not have its digest" in refused(data, tmp_path)


def test_bounds(make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 5)
    monkeypatch.setattr(archive, "MAX_METADATA", 100)
    many = make.pack(*(make.member(str(n)) for n in range(6)))
    assert "more than 5 files" in refused(many, tmp_path / "many")
    large = make.pack(make.member("manifest.json", b" " * 101))
    assert "larger than 100 bytes" in refused(large, tmp_path / "large")


@pytest.mark.parametrize(
    "data", [b"", b"x", bytes(10240), b"text " * 500, bz2.compress(b"x"), gzip.compress(b"x", mtime=0)]
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    assert "not an image archive" in refused(data, tmp_path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_cut_off_anywhere(make: SimpleNamespace, layers: list[bytes], tmp_path: Path, compress: object) -> None:
    whole = make.docker_archive((make.config(layers), layers, ["a"]))
    data = compress(whole)  # type: ignore[operator]
    size = len(data) // 2 if compress is not bytes else len(whole.rstrip(b"\0"))
    for number, end in enumerate(range(0, size - 1, max(1, size // 40))):
        refused(data[:end], tmp_path / str(number))


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_an_archive_or_a_declared_error(
    make: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    layer = make.pack(make.member("a", b"1", pax={"SCHILY.xattr.user.a": "b"}))
    whole = bytearray(make.docker_archive((make.config([layer]), [layer], ["a"])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole.rstrip(b"\0"))))
        piece = data.draw(
            st.binary(min_size=1, max_size=12) | st.sampled_from([b"-1", b"\xff" * 12, b"\x80" + bytes(11)])
        )
        whole[at : at + len(piece)] = piece
    try:
        unpack(bytes(whole), tmp_path_factory.mktemp("staging"))
    except AgentError as error:
        assert error.status == 400
