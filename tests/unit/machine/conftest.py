"""A home of a test's own, and a QEMU that is not one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.machine import lifecycle
from atoll.machine.store import list_machines

FAKE = Path(__file__).with_name("fake_qemu.py")


class Lab:
    """A home of its own with a fake QEMU."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def behave(self, **behaviours: str) -> None:
        (self.directory / "behaviour.json").write_text(json.dumps(behaviours))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    home = tmp_path / "home"
    qemu = tmp_path / "qemu"
    qemu.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    qemu.chmod(0o755)
    image = tmp_path / "image"
    image.mkdir()
    (image / "initramfs.cpio").write_bytes(b"")
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"kernel")
    for name, value in {"ATOLL_HOME": home, "ATOLL_QEMU": qemu, "FAKE_QEMU": tmp_path / "behaviour.json"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("atoll.machine.images.ensure_image", lambda arch, say, progress=None: image)
    monkeypatch.setattr("atoll.machine.images.direct_kernel", lambda image, arch: kernel)
    monkeypatch.setattr("atoll.machine.images.agent_archive", lambda image, arch, say: b"")
    monkeypatch.setattr("atoll.machine.lifecycle._ensure_base_image", lambda endpoint, machine, say: None)
    monkeypatch.setattr("atoll.machine.proof.list_candidates", lambda guest, host: [("kvm", ""), ("tcg", "")])
    lab = Lab(tmp_path)
    lab.behave(kvm="ok", tcg="ok")
    yield lab
    for machine in list_machines():
        lifecycle.stop(machine, 5)
        if machine.sockets != machine.directory:
            shutil.rmtree(machine.sockets, ignore_errors=True)
