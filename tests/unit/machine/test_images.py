"""The bootable image: what is damaged is noticed before a boot, and built again or refused with a name."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from atoll.errors import ConfigError, HostError
from atoll.machine import images, verified
from atoll.machine.images import ensure_image
from atoll_images.errors import ImageError
from atoll_images.manifest import ImageManifest, write_image

CONTENT = {"kernel": b"kernel" * 100, "initramfs.cpio": b"cpio" * 100, "root.erofs": b"root" * 1000, "base.tar": b"tar"}


def build(directory: Path) -> None:
    write_image(directory, CONTENT, ImageManifest("amd64", "6.12", "recipe", "lock", {}))


class Builder:
    """Stands for the image builder.

    Attributes:
        built: directories, as they were built.
        error: to be raised instead.
    """

    def __init__(self) -> None:
        self.built: list[Path] = []
        self.error: Exception | None = None

    def build_image(self, arch: str, directory: Path, *more: Any) -> None:
        self.built.append(directory)
        if self.error:
            raise self.error
        build(directory)


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """A home of the test's own, where images are built at once."""
    builder = Builder()
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ATOLL_IMAGE_DIR", raising=False)
    monkeypatch.setattr(images, "find_qemu", lambda arch: None)
    monkeypatch.setattr("atoll_images.build.build_image", builder.build_image)
    return builder


def read_times(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """How often an image is looked at, and whether all of it is read."""
    import atoll_images.manifest

    calls: list[bool] = []
    real = atoll_images.manifest.load_manifest

    def count(directory: Path, *, verify: bool = True) -> ImageManifest:
        calls.append(verify)
        return real(directory, verify=verify)

    monkeypatch.setattr(atoll_images.manifest, "load_manifest", count)
    return calls


def change(path: Path, data: bytes | None) -> None:
    """Change a file without changing its size or, as far as can be, anything else."""
    if data is None:
        path.unlink()
        return
    status = path.stat()
    path.write_bytes(data)
    if len(data) == status.st_size:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


DAMAGES = {
    "root truncated": ("root.erofs", CONTENT["root.erofs"][:-1]),
    "root empty": ("root.erofs", b""),
    "root tampered": ("root.erofs", b"evil" + CONTENT["root.erofs"][4:]),
    "root gone": ("root.erofs", None),
    "kernel tampered": ("kernel", b"evil" + CONTENT["kernel"][4:]),
    "initramfs truncated": ("initramfs.cpio", b"cpio"),
    "initramfs tampered": ("initramfs.cpio", b"evil" + CONTENT["initramfs.cpio"][4:]),
    "base gone": ("base.tar", None),
    "manifest torn": ("manifest.json", b'{"format": 1, "files": {'),
    "manifest empty": ("manifest.json", b""),
    "manifest of something else": ("manifest.json", b"[]"),
}


def test_built_once(builder: Builder) -> None:
    said: list[str] = []
    first = ensure_image("amd64", said.append)
    assert ensure_image("amd64", said.append) == first
    assert builder.built == [first]
    assert len(said) == 1
    assert {path.name for path in first.iterdir()} == {*CONTENT, "manifest.json"}


def test_it_is_read_once_and_again_when_something_changed(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = read_times(monkeypatch)
    directory = ensure_image("amd64", lambda text: None)
    ensure_image("amd64", lambda text: None)
    del calls[:]
    ensure_image("amd64", lambda text: None)
    assert calls == [False]
    (directory / "kernel").touch()
    ensure_image("amd64", lambda text: None)
    assert True in calls


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_image_is_built_again_before_a_boot(builder: Builder, damage: str) -> None:
    said: list[str] = []
    directory = ensure_image("amd64", said.append)
    change(directory / DAMAGES[damage][0], DAMAGES[damage][1])
    assert ensure_image("amd64", said.append) == directory
    assert builder.built == [directory] * 2
    assert {name: (directory / name).read_bytes() for name in CONTENT} == CONTENT
    assert any("damaged" in line and DAMAGES[damage][0].split(".")[0] in line for line in said)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_image_that_the_user_chose_is_refused(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    chosen = tmp_path / "chosen"
    monkeypatch.setenv("ATOLL_IMAGE_DIR", str(chosen))
    build(chosen)
    assert ensure_image("amd64", lambda text: None) == chosen
    change(chosen / DAMAGES[damage][0], DAMAGES[damage][1])
    with pytest.raises(HostError) as caught:
        ensure_image("amd64", lambda text: None)
    assert str(chosen) in caught.value.message
    assert caught.value.hint == f"remove {chosen} to have it built again"
    assert builder.built == []


def test_a_damaged_image_that_cannot_be_built_again(builder: Builder) -> None:
    """Without a network, say: the error is the builder's, and the next try finds the damage again."""
    directory = ensure_image("amd64", lambda text: None)
    change(directory / "root.erofs", b"x")
    builder.error = ImageError("cannot fetch http://mirror: no route to host", "check the network")
    for _ in range(2):
        with pytest.raises(HostError, match="no route") as caught:
            ensure_image("amd64", lambda text: None)
        assert caught.value.hint == "check the network"
    builder.error = None
    ensure_image("amd64", lambda text: None)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"kernel": 3}', b"\xff"])
def test_a_damaged_note_means_reading(builder: Builder, monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    directory = ensure_image("amd64", lambda text: None)
    ensure_image("amd64", lambda text: None)
    verified._note_of(directory).write_bytes(text)
    calls = read_times(monkeypatch)
    ensure_image("amd64", lambda text: None)
    assert calls == [False, True]


def test_a_note_that_cannot_be_written(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(verified, "write_whole", full)
    directory = ensure_image("amd64", lambda text: None)
    assert ensure_image("amd64", lambda text: None) == directory


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b'{"files": {}}', b'{"files": {"root.erofs": 3}}', b"\xff"])
def test_a_torn_manifest_is_named_wherever_it_is_read(builder: Builder, tmp_path: Path, text: bytes) -> None:
    build(tmp_path / "image")
    (tmp_path / "image" / "manifest.json").write_bytes(text)
    for work in (
        lambda: images.kernel_path(tmp_path / "image", "amd64"),
        lambda: images.agent_archive(tmp_path / "image", "amd64", lambda text: None),
        lambda: images.verify_image(tmp_path / "image"),
    ):
        with pytest.raises(ConfigError) as caught:
            work()
        assert str(tmp_path / "image") in caught.value.message
        assert "built again" in caught.value.hint


def test_the_kernel_is_unpacked_once_and_whole_or_not_at_all(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    build(image)
    assert images.direct_kernel(image, "arm64") == image / "kernel"
    unpacked: list[bytes] = []

    def extract(data: bytes) -> bytes:
        unpacked.append(data)
        return b"ELF"

    monkeypatch.setattr("atoll_images.kernel.extract_vmlinux", extract)
    with monkeypatch.context() as patch:

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr("atoll.system.files.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            images.direct_kernel(image, "amd64")
    assert not list((tmp_path / "home" / "cache" / "kernels").iterdir())
    for _ in range(2):
        assert images.direct_kernel(image, "amd64").read_bytes() == b"ELF"
    assert unpacked == [CONTENT["kernel"]] * 2
    digest = hashlib.sha256(CONTENT["kernel"]).hexdigest()
    assert images.direct_kernel(image, "amd64").name == f"{digest[:16]}.elf"


def test_the_agents_sources_are_all_there() -> None:
    sources = images.read_agent_sources()
    assert "atoll_agent/__main__.py" in sources
    assert "atoll_agent/api/seed.py" in sources
    assert not [path for path in sources if "__pycache__" in path or "\\" in path or path.endswith(".pyc")]
    assert list(sources) == sorted(sources)


def test_two_commands_build_one_image(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and finds its image."""

    class Lock:
        def __init__(self, path: Path) -> None:
            self.path = path

        def acquire(self, timeout_s: float) -> bool:
            build(images.image_directory("amd64"))  # meanwhile
            return True

        def release(self) -> None:
            pass

    monkeypatch.setattr(images, "FileLock", Lock)
    said: list[str] = []
    ensure_image("amd64", said.append)
    assert builder.built == []
    assert said == []
