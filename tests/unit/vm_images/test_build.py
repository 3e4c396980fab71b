"""Whole builds from small packages: equal bytes, and nothing half-built."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atoll_images import manifest as manifest_module
from atoll_images.build import build_image, recipe_digest
from atoll_images.errors import ImageError
from atoll_images.manifest import ImageManifest, load_manifest


@pytest.fixture
def build(server: Any, make: SimpleNamespace, tmp_path: Path, recorder: Any) -> Any:
    """Build into `tmp_path/name`."""
    packages = make.packages()
    lock = make.lock(packages)
    server.put_packages(lock, packages)

    fake = make.compiler()

    def run(name: str = "image", cache: str = "cache", compiler: Any = fake) -> ImageManifest:
        out = tmp_path / name
        return build_image(
            "amd64", out, tmp_path / cache, None, recorder, compiler, lock=lock, mirrors=server.mirrors()
        )

    return run


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_two_builds_are_byte_identical(build: Any, tmp_path: Path) -> None:
    assert build("one", "cache-1") == build("two", "cache-2")
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_in_it(build: Any, tmp_path: Path, make: SimpleNamespace) -> None:
    built = build()
    assert names(tmp_path / "image") == ["base.tar", "initramfs.cpio", "kernel", "manifest.json", "root.erofs"]
    assert load_manifest(tmp_path / "image") == built
    assert built.kernel_version == "6.12.0-test"
    assert built.recipe == recipe_digest("amd64", make.lock(make.packages()))
    root = (tmp_path / "image/root.erofs").read_bytes()
    assert b"bytecode of os" in root
    assert b"import stat" not in root
    initramfs = (tmp_path / "image/initramfs.cpio").read_bytes()
    assert b"virtio_blk.ko\ncrc_lib.ko\nerofs.ko\n" in initramfs


def test_bytecode_is_compiled_once(build: Any, tmp_path: Path, make: SimpleNamespace) -> None:
    build("one")

    def never(files: Any) -> bytes:
        raise AssertionError("compiled again")

    build("two", compiler=never)
    (kept,) = (tmp_path / "cache").glob("bytecode-*.tar")
    kept.write_bytes(b"torn")
    with pytest.raises(AssertionError):
        build("three", compiler=never)


def test_without_a_compiler_sources_stay(build: Any, tmp_path: Path) -> None:
    build(compiler=None)
    assert b"import stat" in (tmp_path / "image/root.erofs").read_bytes()


def test_torn_bytecode(build: Any, tmp_path: Path, make: SimpleNamespace) -> None:
    with pytest.raises(ImageError, match="no complete bytecode archive"):
        build(compiler=make.compiler(fails=True))
    assert names(tmp_path) == ["cache"]


@pytest.mark.parametrize("existing", [False, True])
def test_full_disk_leaves_nothing_half_built(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        build()
    before = {path: path.read_bytes() for path in (tmp_path / "image").glob("*")}
    written: list[int] = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(manifest_module.os, "fsync", full)
    with pytest.raises(ImageError, match="cannot write image"):
        build()
    monkeypatch.undo()
    assert names(tmp_path) == (["cache", "image"] if existing else ["cache"])
    assert {path: path.read_bytes() for path in (tmp_path / "image").glob("*")} == before


def test_an_image_is_replaced_whole(build: Any, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/stray").write_text("old")
    build()
    assert "stray" not in names(tmp_path / "image")
    assert names(tmp_path) == ["cache", "image"]


@pytest.mark.parametrize("damage", ["truncated", "tampered", "missing", "manifest", "format", "none"])
def test_a_damaged_image_is_noticed(build: Any, tmp_path: Path, damage: str) -> None:
    build()
    root, manifest = tmp_path / "image/root.erofs", tmp_path / "image/manifest.json"
    data = root.read_bytes()
    match damage:
        case "truncated":
            root.write_bytes(data[:-1])
        case "tampered":
            root.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "missing":
            root.unlink()
        case "manifest":
            manifest.write_text('{"format": 1, "files": {"kernel"')
        case "format":
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
        case "none":
            manifest.unlink()
    with pytest.raises(ImageError) as caught:
        load_manifest(tmp_path / "image")
    assert caught.value.hint == "build the image again"


def test_base_image_is_docker_archive_and_oci_layout(build: Any, tmp_path: Path) -> None:
    build()
    with tarfile.open(tmp_path / "image/base.tar") as archive:

        def read(name: str) -> Any:
            stream = archive.extractfile(name)
            assert stream
            return stream.read()

        (entry,) = json.loads(read("manifest.json"))
        assert entry["RepoTags"] == ["atoll/base:latest"]
        index = json.loads(read("index.json"))
        manifest = json.loads(read("blobs/" + index["manifests"][0]["digest"].replace(":", "/")))
        assert "blobs/" + manifest["config"]["digest"].replace(":", "/") == entry["Config"]
        config = json.loads(read(entry["Config"]))
        layer = read(entry["Layers"][0])
    assert config["config"]["Cmd"] == ["sh"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as content:
        assert content.getmember("usr/bin/busybox").isfile()
        assert content.getmember("usr/bin/sh").linkname == "busybox"
        assert content.getmember("tmp").mode == 0o1777


def full_disk(*arguments: Any, **options: Any) -> None:
    """What every kind of writing says then."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("at", ["stage 1", "bytecode", "first file", "last file", "place"])
def test_a_full_disk_at_any_step(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, existing: bool
) -> None:
    """Nothing half-built is taken for whole later: there is the old image or none, and the next build succeeds."""
    if existing:
        build()
        for kept in (tmp_path / "cache").glob("bytecode-*.tar"):
            kept.unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "image").glob("*")}
    write_bytes, write_durably, rename = Path.write_bytes, manifest_module._write_durably, Path.rename
    written: list[Path] = []

    def write_bytes_until(self: Path, data: bytes) -> int:
        if (at == "bytecode") == self.name.startswith("bytecode-"):
            self.touch()
            full_disk()
        return write_bytes(self, data)

    def write_durably_until(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == {"first file": 1, "last file": 5}.get(at, 0):
            write_bytes(path, data[: len(data) // 2])
            full_disk()
        write_durably(path, data)

    def rename_until(self: Path, to: Path) -> Path:
        if to.name == "image" and not written:
            written.append(to)
            full_disk()
        return rename(self, to)

    with monkeypatch.context() as patch:
        if at in ("stage 1", "bytecode"):
            patch.setattr(Path, "write_bytes", write_bytes_until)
        elif at == "place":
            patch.setattr(Path, "rename", rename_until)
        else:
            patch.setattr(manifest_module, "_write_durably", write_durably_until)
        with pytest.raises(ImageError, match="No space left") as caught:
            build()
    assert "disk full" in caught.value.hint
    assert names(tmp_path) == (["cache", "image"] if existing else ["cache"])
    assert {path: path.read_bytes() for path in (tmp_path / "image").glob("*")} == before
    assert not [name for name in names(tmp_path / "cache") if name.startswith(".stage-1-") or name.endswith(".tmp")]
    built = build()
    assert load_manifest(tmp_path / "image") == built


def test_another_lock_is_another_recipe(make: SimpleNamespace) -> None:
    """So an image of another lock lies elsewhere, and is never taken for this one's."""
    packages = make.packages()
    one = recipe_digest("amd64", make.lock(packages))
    assert recipe_digest("amd64", make.lock(packages)) == one
    assert recipe_digest("amd64", make.lock({**packages, "libc6": packages["libc6"] + b"x"})) != one
    assert recipe_digest("amd64", make.lock(packages, date="2026-01-02T03:04:06+00:00")) != one
