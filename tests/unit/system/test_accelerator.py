"""Which accelerators could be there: the whole table, and what stands in KVM's way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from atoll.system import accelerator
from atoll.system.accelerator import list_candidates, platform_name

NATIVE = {"linux": "kvm", "darwin": "hvf", "win32": "whpx"}
ARCHITECTURES = ("amd64", "arm64")


@pytest.mark.parametrize(("platform", "name"), [("linux", "linux"), ("darwin", "darwin"), ("win32", "windows")])
def test_names_of_systems(platform: str, name: str) -> None:
    assert platform_name(platform) == name


@pytest.mark.parametrize("platform", NATIVE)
@pytest.mark.parametrize("host", ARCHITECTURES)
@pytest.mark.parametrize("guest", ARCHITECTURES)
def test_candidates(guest: str, host: str, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_obstacle", lambda name: "")
    why = "" if guest == host else f"the machine is {guest}, this computer {host}"
    assert list_candidates(guest, host, platform) == [(NATIVE[platform], why), ("tcg", "")]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `/dev/kvm` stands for."""
    path = tmp_path / "kvm"
    monkeypatch.setattr(accelerator, "Path", lambda name: path if name == "/dev/kvm" else Path(name))
    return path


def test_kvm_is_a_candidate_where_its_device_opens(device: Path) -> None:
    device.touch()
    assert list_candidates("amd64", "amd64", "linux") == [("kvm", ""), ("tcg", "")]


def test_no_kvm_here(device: Path) -> None:
    assert list_candidates("amd64", "amd64", "linux")[0] == ("kvm", "there is no /dev/kvm")
    assert list_candidates("amd64", "amd64", "darwin")[0] == ("hvf", "")  # which asks for no device


@pytest.mark.skipif(sys.platform == "win32", reason="asks for the rights of a POSIX file")
def test_kvm_belongs_to_somebody_else(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device.touch()
    asked: list[int] = []

    def refuse(path: Path, mode: int) -> bool:
        asked.append(mode)
        return False

    monkeypatch.setattr(accelerator.os, "access", refuse)
    name, why = list_candidates("arm64", "arm64", "linux")[0]
    assert (name, asked) == ("kvm", [os.R_OK | os.W_OK])
    assert "group kvm" in why
