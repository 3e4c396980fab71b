"""Finding QEMU: none, one that is too old, one that is not QEMU, a good one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from atoll.errors import DependencyMissing
from atoll.qemu import binary

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake is a shell script")


def fake(tmp_path: Path, output: str) -> Path:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return path


def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOLL_QEMU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyMissing, match="was not found") as caught:
        binary.find_qemu("amd64")
    assert "install" in caught.value.hint


def test_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_QEMU", str(fake(tmp_path, "QEMU emulator version 6.2.0 (Debian)")))
    with pytest.raises(DependencyMissing, match=r"6\.2\.0 .* is too old; 7\.2 is needed"):
        binary.find_qemu("amd64")


def test_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_QEMU", str(fake(tmp_path, "hello")))
    with pytest.raises(DependencyMissing, match="does not tell"):
        binary.find_qemu("amd64")


def test_a_good_one_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "QEMU emulator version 9.1.2")
    monkeypatch.setenv("ATOLL_QEMU", str(tmp_path))
    found = binary.find_qemu("amd64")
    assert found.version == (9, 1, 2)
    assert str(found.path) in found.identity


@pytest.mark.parametrize(("platform", "word"), [("linux", "apt"), ("darwin", "brew"), ("win32", "winget")])
def test_the_hint_fits_the_system(platform: str, word: str) -> None:
    assert word in binary.install_hint("arm64", platform)
