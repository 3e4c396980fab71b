"""The empty qcow2 disk, by its own reader and, where there is one, by qemu-img."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from atoll.qemu import disk


@pytest.mark.parametrize("size", [1 << 30, 64 << 30, (8 << 40), 512, 1000])
def test_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "d.qcow2"
    disk.create_disk(path, size)
    assert disk.read_size(path) == -(-size // 512) * 512
    assert path.stat().st_size < 1 << 20


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("size", [1 << 30, 64 << 30, 8 << 40])
def test_qemu_img_finds_nothing_wrong(tmp_path: Path, size: int) -> None:
    path = tmp_path / "d.qcow2"
    disk.create_disk(path, size)
    subprocess.run(["qemu-img", "check", str(path)], check=True, capture_output=True)
    info = json.loads(
        subprocess.run(["qemu-img", "info", "--output=json", str(path)], check=True, capture_output=True).stdout
    )
    assert (info["format"], info["virtual-size"]) == ("qcow2", size)


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match="not a qcow2"):
        disk.read_size(path)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atoll.system.files.os.write", full)
    with pytest.raises(OSError, match="No space"):
        disk.create_disk(tmp_path / "d.qcow2", 1 << 30)
    assert list(tmp_path.iterdir()) == []
