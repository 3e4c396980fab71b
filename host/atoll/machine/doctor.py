"""What Atoll needs of a computer, looked at one by one. Each check tells how it stands and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config import host_architecture
from ..errors import HostError
from ..paths import cache_directory, home
from ..system.accelerator import list_candidates, platform_name

OK, WARN, FAIL = "ok", "warn", "fail"
FREE_BYTES = 2 << 30
MIN_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One check's outcome.

    Attributes:
        name: what was looked at.
        status: `ok`, `warn` (something will not work) or `fail` (nothing will).
        detail: how it stands.
        hint: what to do; "" when nothing is to be done.
    """

    name: str
    status: str
    detail: str
    hint: str = ""


def examine() -> list[Finding]:
    """Run every check; one that fails itself is a finding too."""
    checks: list[Callable[[], Finding]] = [
        check_python, check_qemu, check_accelerator, check_image, check_home, check_space, check_keys, check_docker,
    ]  # fmt: skip
    if sys.platform == "linux":
        checks.append(check_native)
    return [_guarded(check) for check in checks]


def _guarded(check: Callable[[], Finding]) -> Finding:
    name = check.__name__.removeprefix("check_")
    try:
        return check()
    except HostError as error:
        return Finding(name, FAIL, error.message, error.hint)
    except OSError as error:
        return Finding(name, FAIL, str(error), "mend its rights or its disk, or set ATOLL_HOME to another directory")
    except Exception as error:  # what is wrong with the computer must not keep the other checks from being told
        return Finding(name, FAIL, f"the check itself failed: {error!r}", "tell the makers of Atoll")


def check_python() -> Finding:
    """The Python that runs this."""
    text = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < MIN_PYTHON:
        return Finding("python", FAIL, text, "install Python 3.11 or newer")
    return Finding("python", OK, text)


def check_qemu() -> Finding:
    """QEMU for this computer's architecture.

    Raises:
        DependencyMissing: none, or too old.
    """
    from ..qemu.binary import find_qemu

    found = find_qemu(host_architecture())
    return Finding("qemu", OK, f"{'.'.join(map(str, found.version))} at {found.path}")


def check_accelerator() -> Finding:
    """What will run machines, and why: proved by the first machine's start, otherwise what will be tried."""
    from ..qemu.binary import find_qemu
    from .images import image_directory, kernel_path
    from .proof import conditions_key, load_verdict

    arch = host_architecture()
    image = image_directory(arch)
    verdict = None
    if (image / "manifest.json").exists():
        kernel = kernel_path(image, arch)
        if kernel.exists():
            verdict = load_verdict(conditions_key(find_qemu(arch).identity, kernel, arch))
    if verdict is None:
        candidates = list_candidates(arch, arch)
        plan = ", then ".join(name if not why else f"{name} (out: {why})" for name, why in candidates)
        return Finding("accelerator", OK, f"not proved yet; the first start tries {plan}")
    if verdict.accelerator == "tcg":
        return Finding(
            "accelerator", WARN, f"tcg (emulation, slow): {verdict.reason}", _accelerator_hint(platform_name())
        )
    return Finding("accelerator", OK, f"{verdict.accelerator}: proved")


def _accelerator_hint(system: str) -> str:
    return {
        "linux": "enable virtualisation in the firmware; in a VM, ask for nested virtualisation",
        "darwin": "hypervisor.framework is missing here; is this macOS itself a VM?",
        "windows": "turn on the Windows feature `Windows Hypervisor Platform`",
    }[system]


def check_image() -> Finding:
    """The bootable image."""
    from .images import image_directory, verify_image

    directory = image_directory(host_architecture())
    if not (directory / "manifest.json").exists():
        return Finding("image", OK, "not built yet; the first start builds it")
    verify_image(directory)
    size = sum(path.stat().st_size for path in directory.iterdir() if path.name != "base.tar")
    return Finding("image", OK, f"{size / 1e6:.0f} MB in {directory}")


def check_home() -> Finding:
    """Whether state can be written, and locked."""
    from ..system.locks import FileLock

    root = home()
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".doctor.lock")
    if not lock.acquire(5):
        return Finding("home", FAIL, f"{root} cannot be locked", "is another `atoll doctor` running?")
    lock.release()
    return Finding("home", OK, str(root))


def check_space() -> Finding:
    """Room for images and disks."""
    free = min(shutil.disk_usage(_existing(path)).free for path in (home(), cache_directory()))
    text = f"{free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        return Finding(
            "disk space", WARN, text, f"free at least {FREE_BYTES >> 30} GiB, or set ATOLL_HOME to another disk"
        )
    return Finding("disk space", OK, text)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def check_keys() -> Finding:
    """Whether the machines' keys are their owner's alone."""
    from .store import list_machines

    if os.name != "nt":
        for machine in list_machines():
            key = machine.file("id_ed25519")
            if key.exists() and key.stat().st_mode & 0o077:
                return Finding("ssh keys", FAIL, f"{key} can be read by others", f"chmod 600 {key}")
    return Finding("ssh keys", OK, "private")


def check_docker() -> Finding:
    """Another client; not needed."""
    path = shutil.which("docker")
    if path is None:
        return Finding("docker client", OK, "not installed (not needed)")
    return Finding("docker client", OK, f"{path}; point it at a machine with `atoll machine env`")


def check_native() -> Finding:
    """What `--driver native` needs."""
    import ctypes

    missing = []
    if sys.platform == "win32" or os.geteuid() != 0:
        missing.append("root")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        missing.append("libseccomp (package libseccomp2)")
    file_systems = Path("/proc/filesystems").read_text().split()
    if "overlay" not in file_systems and not list(Path("/lib/modules").glob(f"{platform.release()}/**/overlay.ko*")):
        missing.append("overlay file system")
    if missing:
        return Finding("native driver", OK, f"not usable here: needs {', '.join(missing)} (machines do not need it)")
    return Finding("native driver", OK, "usable")
