"""Finding QEMU: none, one that is too old, one that is not QEMU, a good one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

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


def test_what_atoll_qemu_names_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another QEMU is not taken instead, and the hint is not to install one."""
    fake(tmp_path, "QEMU emulator version 9.1.2")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ATOLL_QEMU", str(tmp_path / "nowhere"))
    with pytest.raises(DependencyMissing, match="nowhere") as caught:
        binary.find_qemu("amd64")
    assert "ATOLL_QEMU" in caught.value.hint


@pytest.mark.parametrize(
    "output",
    [
        r"\377\376\200 QEMU", "", "QEMU emulator version", "QEMU emulator version x.y", "version 9.1.2",
        "qemu-img version 9.1.2",
    ],
)  # fmt: skip
def test_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text(f"#!/bin/sh\nprintf '{output}'\n")
    path.chmod(0o755)
    monkeypatch.setenv("ATOLL_QEMU", str(path))
    with pytest.raises(DependencyMissing, match="does not tell QEMU's version") as caught:
        binary.find_qemu("amd64")
    assert caught.value.hint


def test_garbage_around_a_version(tmp_path: Path) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\nprintf '\\377 QEMU emulator version 10.0 (Debian \\344)\\n'\n")
    path.chmod(0o755)
    assert binary.read_version(path) == (10, 0, 0)


@pytest.mark.parametrize(("content", "mode"), [("", 0o755), ("#!/nowhere\n", 0o755), ("#!/bin/sh\n", 0o644)])
def test_it_cannot_be_run(tmp_path: Path, content: str, mode: int) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(DependencyMissing) as caught:
        binary.read_version(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_it_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\nexec sleep 100\n")
    path.chmod(0o755)
    monkeypatch.setattr(binary, "VERSION_S", 0.05)
    with pytest.raises(DependencyMissing, match="does not run"):
        binary.read_version(path)


def test_another_version_is_another_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator is proved anew after an update of QEMU."""
    monkeypatch.setenv("ATOLL_QEMU", str(fake(tmp_path, "QEMU emulator version 9.1.2")))
    before = binary.find_qemu("amd64").identity
    assert binary.find_qemu("amd64").identity == before
    fake(tmp_path, "QEMU emulator version 9.1.3")
    assert binary.find_qemu("amd64").identity != before


@pytest.mark.parametrize(
    ("platform", "parts"),
    [
        ("linux", []),
        ("darwin", [("homebrew", "bin"), ("local", "bin")]),
        ("win32", [("Program Files", "qemu")]),
    ],
)
def test_where_installers_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, parts: list[tuple[str, str]]
) -> None:
    """Not all of them say so in PATH."""
    monkeypatch.delenv("ATOLL_QEMU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ProgramFiles", str(tmp_path / "Program Files"))
    monkeypatch.setattr(binary, "sys", SimpleNamespace(platform=platform))
    found = binary.candidates("arm64")
    for part in parts:
        assert [path for path in found if set(part) <= set(path.parts)]
    assert {path.stem for path in found} <= {"qemu-system-aarch64"}
    assert bool(found) == bool(parts)
    if platform == "win32":
        assert {path.suffix for path in found} == {".exe"}
