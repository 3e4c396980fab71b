"""Finding QEMU and telling whether it will do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import DependencyMissing

MINIMUM = (7, 2)
VERSION_S = 30.0
PROGRAMS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?")
_INSTALL = {
    "linux": "install it, for example: apt install {apt}",
    "darwin": "install it with: brew install qemu",
    "win32": "install it with: winget install SoftwareFreedomConservancy.QEMU",
}
_APT = {"amd64": "qemu-system-x86", "arm64": "qemu-system-arm"}


@dataclass(frozen=True)
class Qemu:
    """A QEMU that was found.

    Attributes:
        path: the program.
        version: its number.
        identity: changes when the program does.
    """

    path: Path
    version: tuple[int, int, int]
    identity: str


def install_hint(arch: str, platform: str = sys.platform) -> str:
    """How to get QEMU on this system."""
    return _INSTALL.get(platform, _INSTALL["linux"]).format(apt=_APT[arch])


def candidates(arch: str) -> list[Path]:
    """Where the program may be: what ATOLL_QEMU says, else PATH, else where installers put it."""
    given = os.environ.get("ATOLL_QEMU")
    if given:
        path = Path(given)
        return [path / PROGRAMS[arch], path / f"{PROGRAMS[arch]}.exe"] if path.is_dir() else [path]
    found = [Path(p) for p in [shutil.which(PROGRAMS[arch])] if p]
    if sys.platform == "win32":
        found += [
            Path(os.environ.get(v, "C:\\")) / "qemu" / f"{PROGRAMS[arch]}.exe" for v in ("ProgramFiles", "ProgramW6432")
        ]
    if sys.platform == "darwin":
        found += [Path(prefix, "bin", PROGRAMS[arch]) for prefix in ("/opt/homebrew", "/usr/local", "/opt/local")]
    return found


def find_qemu(arch: str) -> Qemu:
    """Find a QEMU for a guest architecture.

    Raises:
        DependencyMissing: none, or one that is too old.
    """
    path = next((candidate for candidate in candidates(arch) if candidate.is_file()), None)
    given = os.environ.get("ATOLL_QEMU")
    if path is None and given:
        raise DependencyMissing(f"QEMU was not found at {given}", "set ATOLL_QEMU to QEMU's program or directory")
    if path is None:
        raise DependencyMissing(f"QEMU was not found ({PROGRAMS[arch]})", install_hint(arch))
    version = read_version(path)
    if version[:2] < MINIMUM:
        text = ".".join(str(number) for number in version)
        raise DependencyMissing(
            f"QEMU {text} at {path} is too old; {MINIMUM[0]}.{MINIMUM[1]} is needed", install_hint(arch)
        )
    status = path.stat()
    return Qemu(path, version, f"{path}:{'.'.join(map(str, version))}:{status.st_size}:{status.st_mtime_ns}")


def read_version(path: Path) -> tuple[int, int, int]:
    """Ask a QEMU for its version.

    Raises:
        DependencyMissing: it does not run, or is no QEMU.
    """
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, timeout=VERSION_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DependencyMissing(f"{path} does not run: {error}", "install QEMU again") from error
    match = _VERSION.search(done.stdout.decode(errors="replace"))
    if not match:
        raise DependencyMissing(f"{path} does not tell QEMU's version", "install QEMU again")
    return int(match[1]), int(match[2]), int(match[3] or 0)
