"""Bytecode made by the guest's own Python: boot a machine that compiles, and read the archive it writes.

This runs QEMU without the host's machinery, so that the builder is complete on its own; see `guest_compile` for the
other end.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cpio import file_entry, write_cpio
from .errors import ImageError
from .manifest import INITRAMFS, KERNEL, ROOT, load_manifest

BYTECODE_PORT = "atoll.bytecode"
AGENT_DIRECTORY = "run/atoll/agent"
_TIMEOUT_S = 300.0
_CONSOLE_LINES = 15
_MACHINES = {"amd64": ("q35", "ttyS0"), "arm64": ("virt", "ttyAMA0")}


@dataclass(frozen=True)
class BootFiles:
    """What it takes to boot.

    Attributes:
        arch: the guest's architecture.
    """

    arch: str
    kernel: Path
    initramfs: Path
    root: Path


def compile_archive(sources: Mapping[str, bytes] | None = None) -> bytes:
    """The cpio archive that, appended to an initramfs, makes the guest compile rather than serve.

    Arguments:
        sources: the agent's tree, by path below its directory.
    """
    script = Path(__file__).with_name("guest_compile.py").read_bytes().replace(b"\r\n", b"\n")
    entries = [file_entry(f"atoll/agent/{path}", data) for path, data in sorted((sources or {}).items())]
    return write_cpio([file_entry("atoll/compile.py", script), *entries])


def boot_and_compile(files: BootFiles, qemu: Path, accelerator: str = "tcg", timeout_s: float = _TIMEOUT_S) -> bytes:
    """Boot `files`, whose initramfs holds `compile_archive`, and return the tar archive of bytecode.

    Raises:
        ImageError: QEMU failed or took too long; the hint has the console's last lines.
    """
    with tempfile.TemporaryDirectory(prefix="atoll-compile-") as name:
        output, console = Path(name) / "bytecode.tar", Path(name) / "console.log"
        command = qemu_command(files, qemu, accelerator, output, console)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ImageError(f"compiling took longer than {timeout_s:.0f} s", _read_tail(console)) from error
        except OSError as error:
            raise ImageError(f"cannot run {qemu}: {error.strerror}") from error
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip()
            raise ImageError(f"QEMU failed with exit code {done.returncode}: {text}", _read_tail(console))
        data = output.read_bytes() if output.exists() else b""
        try:
            read_bytecode(data)
        except ImageError as error:
            raise ImageError(error.message, _read_tail(console)) from error
        return data


def compile_sources(
    image: Path, sources: Mapping[str, bytes], qemu: Path, accelerator: str = "tcg"
) -> dict[str, bytes]:
    """Compile the agent's tree with a finished image.

    Arguments:
        image: the image's directory.
        sources: by path below the agent's directory, such as `atoll_agent/__main__.py`.

    Returns:
        Bytecode by path, `.py` replaced by `.pyc`: import finds it in the source's place.
    """
    manifest = load_manifest(image, verify=False)
    with tempfile.TemporaryDirectory(prefix="atoll-compile-") as name:
        initramfs = Path(name) / INITRAMFS
        initramfs.write_bytes((image / INITRAMFS).read_bytes() + compile_archive(sources))
        files = BootFiles(manifest.arch, image / KERNEL, initramfs, image / ROOT)
        compiled = read_bytecode(boot_and_compile(files, qemu, accelerator))
    result = {path.removeprefix(f"{AGENT_DIRECTORY}/"): data for path, data in compiled.items()}
    missing = [path for path in sources if path.endswith(".py") and f"{path}c" not in result]
    if missing:
        raise ImageError(f"not compiled: {', '.join(sorted(missing))}")
    return result


def qemu_command(files: BootFiles, qemu: Path, accelerator: str, output: Path, console: Path) -> list[str]:
    """The command line: the fewest devices that will do."""
    machine, terminal = _MACHINES[files.arch]
    tcg = accelerator == "tcg"
    return [
        str(qemu), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", machine, "-cpu", "max" if tcg else "host", "-m", "512",
        "-accel", f"{accelerator},thread=multi,tb-size=256" if tcg else accelerator,
        "-kernel", str(files.kernel), "-initrd", str(files.initramfs),
        "-append", f"console={terminal} quiet panic=-1",
        "-chardev", f"file,id=console,path={_escape(console)}", "-serial", "chardev:console",
        "-blockdev", f"driver=file,node-name=root,read-only=on,auto-read-only=off,filename={_escape(files.root)}",
        "-device", "virtio-blk-pci,drive=root,serial=atoll-root",
        "-device", "virtio-serial-pci",
        "-chardev", f"file,id=bytecode,path={_escape(output)}",
        "-device", f"virtserialport,chardev=bytecode,name={BYTECODE_PORT}",
    ]  # fmt: skip


def read_bytecode(archive: bytes) -> dict[str, bytes]:
    """Files of a bytecode archive, by path in the guest without the leading slash.

    Raises:
        ImageError: the guest did not finish it.
    """
    # An archive ends with two zero blocks; without them the guest died on the way.
    if len(archive) < 1024 or archive[-1024:].strip(b"\0"):
        raise ImageError("the guest wrote no complete bytecode archive")
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            files = {}
            for member in tar:
                stream = tar.extractfile(member)
                if stream is not None and member.name.endswith(".pyc"):
                    files[member.name] = stream.read()
    except tarfile.TarError as error:
        raise ImageError(f"the guest's bytecode archive is damaged: {error}") from error
    return files


def _escape(path: Path) -> str:
    """QEMU's option syntax doubles commas."""
    return str(path).replace(",", ",,")


def _read_tail(console: Path) -> str:
    try:
        lines = console.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "console: " + "\n".join(lines[-_CONSOLE_LINES:])
