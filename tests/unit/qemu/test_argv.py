"""QEMU's command line against golden files; `ATOLL_UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from atoll.qemu.argv import Channel, QemuPlan, build_argv, kernel_parameters

GOLDEN = Path(__file__).parents[2] / "data" / "argv"
COMBINATIONS = [
    (system, arch, accelerator)
    for system, native in (("linux", "kvm"), ("darwin", "hvf"), ("windows", "whpx"))
    for arch in ("amd64", "arm64")
    for accelerator in (native, "tcg")
]


def make_plan(system: str, arch: str, accelerator: str) -> QemuPlan:
    windows = system == "windows"
    folder = "C:\\atoll\\" if windows else "/atoll/"
    return QemuPlan(
        program="qemu-system-x86_64" if arch == "amd64" else "qemu-system-aarch64",
        system=system,
        arch=arch,
        accelerator=accelerator,
        name="golden",
        cpus=2,
        memory_mib=1024,
        kernel=f"{folder}kernel",
        initrd=f"{folder}initrd",
        root=f"{folder}root.erofs",
        data=f"{folder}data.qcow2",
        console=f"{folder}console.log",
        monitor=Channel("tcp", "4001") if windows else Channel("unix", "/atoll/monitor.sock"),
        wire=Channel("tcp", "4002") if windows else Channel("unix", "/atoll/wire.sock"),
    )


@pytest.mark.parametrize(("system", "arch", "accelerator"), COMBINATIONS)
def test_the_command_line_is_the_golden_one(system: str, arch: str, accelerator: str) -> None:
    path = GOLDEN / f"{system}-{arch}-{accelerator}.txt"
    text = "\n".join(build_argv(make_plan(system, arch, accelerator))) + "\n"
    if os.environ.get("ATOLL_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_there_is_a_golden_file_for_every_combination_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"-".join(c) for c in COMBINATIONS}


def test_a_comma_in_a_path_does_not_end_an_option() -> None:
    words = build_argv(QemuPlan(**{**make_plan("linux", "amd64", "tcg").__dict__, "data": "/a,b/data.qcow2"}))
    assert any("file.filename=/a,,b/data.qcow2" in word for word in words)


def test_mitigations_are_only_left_out_under_emulation() -> None:
    assert "mitigations=off" not in kernel_parameters(make_plan("linux", "amd64", "kvm"))
    assert "mitigations=off" in kernel_parameters(make_plan("linux", "amd64", "tcg"))
