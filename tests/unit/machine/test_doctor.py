"""The doctor's findings: whatever is wrong is told, with what to do, and the other checks go on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from atoll.cli.app import run
from atoll.config import MachineConfig
from atoll.errors import DependencyMissing
from atoll.machine import doctor, images
from atoll.machine.doctor import FAIL, OK, WARN, Finding, examine
from atoll.machine.proof import Verdict, conditions_key, save_verdict
from atoll.machine.store import create_machine
from atoll.qemu import binary
from atoll.qemu.binary import Qemu
from atoll.ssh.keys import ensure_keys
from atoll.system.locks import FileLock
from atoll_images.manifest import ImageManifest, write_image

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A healthy computer: QEMU, an image, room on the disk."""
    monkeypatch.setenv("ATOLL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ATOLL_IMAGE_DIR", raising=False)
    monkeypatch.setattr(doctor, "host_architecture", lambda: "arm64")
    monkeypatch.setattr(binary, "find_qemu", lambda arch: Qemu(tmp_path / "qemu", (9, 1, 0), "qemu 9.1"))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=100 << 30))
    files = {name: name.encode() for name in ("kernel", "initramfs.cpio", "root.erofs", "base.tar")}
    write_image(images.image_directory("arm64"), files, ImageManifest("arm64", "6.12", "recipe", "lock", {}))
    return tmp_path / "home"


def find(name: str) -> Finding:
    return next(finding for finding in examine() if finding.name == name)


def test_a_healthy_computer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = examine()
    assert {finding.status for finding in findings} == {OK}
    assert [finding.hint for finding in findings if finding.hint] == []
    assert {"python", "qemu", "accelerator", "image", "home", "disk space", "ssh keys"} <= {f.name for f in findings}
    assert run(["doctor"]) == 0
    assert "9.1.0" in capsys.readouterr().out


def test_json(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    code = run(["doctor", "--format", "json"])
    assert code == 0  # a warning is no failure
    told = json.loads(capsys.readouterr().out)
    assert told == [asdict(finding) for finding in examine()]
    (space,) = [finding for finding in told if finding["name"] == "disk space"]
    assert space["status"] == WARN
    assert "ATOLL_HOME" in space["hint"]


def break_qemu(home: Path, patch: pytest.MonkeyPatch) -> None:
    def find_qemu(arch: str) -> Qemu:
        raise DependencyMissing("QEMU 6.2.0 is too old", "install it with: brew install qemu")

    patch.setattr(binary, "find_qemu", find_qemu)


def break_python(home: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(doctor, "MIN_PYTHON", (99, 0))


def break_root(home: Path, patch: pytest.MonkeyPatch) -> None:
    (images.image_directory("arm64") / "root.erofs").write_bytes(b"ROOT.EROFS")


def break_manifest(home: Path, patch: pytest.MonkeyPatch) -> None:
    (images.image_directory("arm64") / "manifest.json").write_bytes(b'{"files": ')


def break_home(home: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("ATOLL_HOME", str(home.parent / "file"))
    (home.parent / "file").write_text("not a directory")


def lock_home(home: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FileLock, "acquire", lambda self, timeout_s: False)


def open_keys(home: Path, patch: pytest.MonkeyPatch) -> None:
    machine = create_machine(MachineConfig("lab", arch="arm64"))
    ensure_keys(machine.directory)
    machine.file("id_ed25519").chmod(0o644)


@pytest.mark.parametrize(
    ("damage", "name", "word"),
    [
        (break_qemu, "qemu", "brew"),
        (break_python, "python", "install Python"),
        (break_root, "image", "built again"),
        (break_manifest, "image", "built again"),
        (break_home, "home", "ATOLL_HOME"),
        (lock_home, "home", "atoll doctor"),
        pytest.param(open_keys, "ssh keys", "chmod 600", marks=posix),
    ],
)
def test_what_is_wrong_is_told_and_what_to_do(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path, pytest.MonkeyPatch], None],
    name: str,
    word: str,
) -> None:
    damage(home, monkeypatch)
    finding = find(name)
    assert finding.status == FAIL
    assert finding.detail
    assert word in finding.hint
    assert find("docker client").status == OK  # the rest goes on
    assert run(["doctor"]) == 1
    assert f"fail  {name}: " in capsys.readouterr().out


def test_no_failure_without_a_hint(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of checks that fail themselves."""
    for damage in (break_qemu, break_manifest, lock_home):
        damage(home, monkeypatch)

    def fail() -> Finding:
        raise RuntimeError("oops")

    fail.__name__ = "check_keys"
    monkeypatch.setattr(doctor, "check_keys", fail)
    wrong = [finding for finding in examine() if finding.status != OK]
    assert len(wrong) >= 4
    assert [finding for finding in wrong if not finding.hint] == []
    (own,) = [finding for finding in wrong if finding.name == "keys"]
    assert "oops" in own.detail


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_not_be_written(home: Path) -> None:
    home.chmod(0o500)
    try:
        finding = find("home")
    finally:
        home.chmod(0o700)
    assert (finding.status, "ATOLL_HOME" in finding.hint) == (FAIL, True)


def test_nothing_was_built_or_made_yet(home: Path) -> None:
    shutil.rmtree(home)
    assert find("image") == Finding("image", OK, "not built yet; the first start builds it")
    assert find("accelerator").detail.startswith("not proved yet; the first start tries ")
    assert not (home / "images").exists()


def test_the_accelerator_and_why(home: Path) -> None:
    key = conditions_key("qemu 9.1", images.image_directory("arm64") / "kernel", "arm64")
    save_verdict(key, Verdict("kvm"))
    assert find("accelerator") == Finding("accelerator", OK, "kvm: proved")
    save_verdict(key, Verdict("tcg", (("kvm", "aborts"),)))
    finding = find("accelerator")
    assert finding.status == WARN
    assert "kvm: aborts" in finding.detail
    assert finding.hint


@pytest.mark.parametrize("system", ["linux", "darwin", "windows"])
def test_the_accelerators_hint_fits_the_system(system: str) -> None:
    assert doctor._accelerator_hint(system)
