"""The compile boot, seen from the host; the guest's end is tried by the machines' tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from atoll_images.compile import BootFiles, boot_and_compile, compile_archive, qemu_command, read_bytecode
from atoll_images.errors import ImageError
from atoll_images.guest_compile import PORT, compile_file, find_sources

FILES = BootFiles("amd64", Path("k"), Path("i"), Path("a,b/root.erofs"))


def test_command_lines() -> None:
    line = qemu_command(FILES, Path("qemu"), "tcg", Path("out"), Path("console"))
    assert line[line.index("-accel") + 1] == "tcg,thread=multi,tb-size=256"
    assert line[line.index("-cpu") + 1] == "max"
    assert any("filename=a,,b" in word for word in line)
    assert any(word.endswith(f"name={PORT}") for word in line)
    arm = qemu_command(BootFiles("arm64", *[Path("x")] * 3), Path("qemu"), "hvf", Path("out"), Path("console"))
    assert arm[arm.index("-machine") + 1] == "virt"
    assert arm[arm.index("-cpu") + 1] == "host"


def test_the_archive_carries_script_and_sources() -> None:
    archive = compile_archive({"atoll_agent/__init__.py": b"SOURCE"})
    assert b"atoll/compile.py\0" in archive
    assert b"atoll/agent/atoll_agent/__init__.py\0" in archive
    assert b"SOURCE" in archive


@pytest.mark.parametrize("size", [0, 1, 600, -600])
def test_torn_bytecode(make: SimpleNamespace, size: int) -> None:
    whole = make.tar({"usr/lib/a.pyc": b"a" * 3000})
    assert read_bytecode(whole) == {"usr/lib/a.pyc": b"a" * 3000}
    with pytest.raises(ImageError, match="no complete bytecode archive"):
        read_bytecode(whole.rstrip(b"\0")[:size] if size >= 0 else whole.rstrip(b"\0"))


def test_no_qemu(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot run"):
        boot_and_compile(FILES, tmp_path / "no-such-qemu")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('no such device')", "QEMU failed with exit code 1: no such device"),
        ("import time; time.sleep(60)", "compiling took longer"),
        ("sys.exit(0)", "no complete bytecode archive"),
    ],
)
def test_qemu_fails(tmp_path: Path, body: str, message: str) -> None:
    qemu = tmp_path / "qemu"
    said = "open(sys.argv[sys.argv.index('-chardev') + 1].partition('path=')[2], 'w').write('atoll-init: oh no')"
    qemu.write_text(f"#!{sys.executable}\nimport sys\n{said}\n{body}\n")
    qemu.chmod(0o755)
    with pytest.raises(ImageError, match=message) as caught:
        boot_and_compile(FILES, qemu, timeout_s=2)
    assert "atoll-init: oh no" in caught.value.hint


def test_compiling_is_stable(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("x = {'one', 'two'}\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/c.py").write_text("def f(): return 1\n")
    paths = find_sources(tmp_path)
    assert [path.name for path in paths] == ["c.py", "b.py"]
    assert [compile_file(path) for path in paths] == [compile_file(path) for path in paths]
    # PEP 552: flags 1 is "hash-based, never checked".
    assert compile_file(paths[0])[4:8] == (1).to_bytes(4, "little")
