"""What every program in `ci/` needs before anything is installed; standard library only.

environment     `.venv`, with the project in it, made anew only when `pyproject.toml` or Python has changed
packages        QEMU and test helpers, from the computer's own package manager
steps           what is being done, how long it took, and a table at the end
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "atoll-stamp"
MIN_PYTHON = (3, 11)
WINDOWS = sys.platform == "win32"
SOURCES = ("host", "guest_agent", "vm_images")

if sys.version_info < MIN_PYTHON:
    sys.exit(f"error: Python {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer is needed, this is {platform.python_version()}")


class SetupError(Exception):
    """Something is missing that this program cannot get by itself; says what to do."""


class Steps:
    """A protocol of what was done, for the person who waits."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, float, str]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Do one step: say its name before, its time after."""
        say(f"==> {title}")
        begun = time.monotonic()
        outcome = "failed"
        try:
            yield
            outcome = "ok"
        finally:
            self._rows.append((title, time.monotonic() - begun, outcome))

    def skip(self, title: str, reason: str) -> None:
        """Tell that a step is left out, and why."""
        say(f"==> {title}: skipped, {reason}")
        self._rows.append((title, 0.0, f"skipped: {reason}"))

    def print_table(self) -> None:
        """Print all steps with their times."""
        width = max((len(title) for title, _, _ in self._rows), default=0)
        say("")
        for title, seconds, outcome in self._rows:
            say(f"  {title:<{width}}  {seconds:8.1f} s  {outcome}")
        say(f"  {'total':<{width}}  {sum(row[1] for row in self._rows):8.1f} s")


def say(text: str) -> None:
    """Print at once, also into a pipe, so that lines keep their order with those of child processes."""
    print(text, flush=True)


def run(*command: str | Path, **kwargs: object) -> None:
    """Run a command, showing it and its output.

    Raises:
        SetupError: it failed.
    """
    say("    $ " + " ".join(str(part) for part in command))
    try:
        subprocess.run([str(part) for part in command], check=True, cwd=ROOT, stdin=subprocess.DEVNULL, **kwargs)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise SetupError(f"no such program: {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise SetupError(f"{command[0]} ended with exit code {error.returncode}") from None


def venv_program(name: str) -> Path:
    """Path of a program in the virtual environment."""
    return VENV / "Scripts" / f"{name}.exe" if WINDOWS else VENV / "bin" / name


def ensure_environment(*extras: str) -> None:
    """Make `.venv` with the project and these extras installed; does nothing when it is up to date.

    Raises:
        SetupError: no way to make one.
    """
    wanted = _fingerprint(extras)
    if STAMP.exists() and set(wanted.splitlines()) <= set(STAMP.read_text(encoding="utf-8").splitlines()):
        say(f"    {VENV.name} is up to date")
        return
    if not _has_working_pip():
        _make_venv()
    target = f".[{','.join(extras)}]" if extras else "."
    # pip finds its index in the machine's own configuration; nothing of that is decided here.
    run(venv_program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", target)
    _put_sources_on_path()
    STAMP.write_text(wanted, encoding="utf-8")


def _fingerprint(extras: Sequence[str]) -> str:
    """What the environment was made from; an environment with more extras serves one with fewer."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    lines = [f"python {platform.python_version()} {sys.prefix}", f"pyproject {digest}"]
    return "\n".join([*lines, *(f"extra {name}" for name in sorted(extras))]) + "\n"


def _has_working_pip() -> bool:
    python = venv_program("python")
    if not python.exists():
        return False
    same = f"import sys, pip; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    return subprocess.run([python, "-c", same], stderr=subprocess.DEVNULL).returncode == 0


def _make_venv() -> None:
    if VENV.exists():
        shutil.rmtree(VENV)
    try:
        run(sys.executable, "-m", "venv", VENV)
    except SetupError:
        # Debian and Ubuntu keep the part of venv that brings pip in a package of its own.
        if shutil.which("apt-get") is None:
            raise
        install_packages(
            {"apt": [f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"]}, why="virtual environments"
        )
        run(sys.executable, "-m", "venv", "--clear", VENV)


def _put_sources_on_path() -> None:
    """Replace setuptools' import hook for editable installs by plain paths.

    The hook imports pathlib and importlib's upper half into every process, 16 ms that `atoll run` would pay each time.
    """
    for site in (VENV / "Lib" / "site-packages", *VENV.glob("lib/python*/site-packages")):
        for link in site.glob("__editable__.atoll-*.pth"):
            link.write_text("".join(f"{ROOT / source}\n" for source in SOURCES), encoding="utf-8")


def is_root() -> bool:
    """Whether this is Linux's or macOS's superuser."""
    return not WINDOWS and os.geteuid() == 0


def install_packages(names: dict[str, list[str]], *, why: str) -> None:
    """Install packages with the computer's package manager, saying so first.

    Arguments:
        names: packages by manager: `apt`, `dnf`, `brew`, `winget`.

    Raises:
        SetupError: there is no known manager, or it failed.
    """
    for manager, packages in names.items():
        if not packages or not shutil.which("apt-get" if manager == "apt" else manager):
            continue
        say(f"    {why}: installing {' '.join(packages)} with {manager}")
        _INSTALLERS[manager](packages)
        return
    listed = "; ".join(f"{manager}: {' '.join(packages)}" for manager, packages in names.items())
    raise SetupError(f"{why} is missing and no known package manager was found; install it by hand ({listed})")


def _as_root(*command: str) -> list[str]:
    if is_root():
        return list(command)
    if shutil.which("sudo") is None:
        raise SetupError(f"root is needed: run `{' '.join(command)}` as root, then start again")
    # Without a terminal sudo must fail rather than wait for a password for ever.
    return ["sudo", *([] if sys.stdin.isatty() else ["-n"]), *command]


def _install_apt(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = _as_root("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    try:
        run(*command, env=environment, stdout=subprocess.DEVNULL)
    except SetupError:
        # The usual reason on a fresh machine: no package lists yet, or old ones.
        run(*_as_root("apt-get", "update", "-q"), env=environment, stdout=subprocess.DEVNULL)
        run(*command, env=environment, stdout=subprocess.DEVNULL)


def _install_dnf(packages: list[str]) -> None:
    run(*_as_root("dnf", "install", "-y", "-q", *packages))


def _install_brew(packages: list[str]) -> None:
    run("brew", "install", "--quiet", *packages)


def _install_winget(packages: list[str]) -> None:
    for package in packages:
        run(
            "winget", "install", "--exact", "--id", package, "--silent",
            "--accept-package-agreements", "--accept-source-agreements",
        )  # fmt: skip


_INSTALLERS = {"apt": _install_apt, "dnf": _install_dnf, "brew": _install_brew, "winget": _install_winget}


def machine_architecture() -> str:
    """The computer's architecture in QEMU's spelling."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())


def find_qemu() -> Path | None:
    """Find QEMU on the path, or where Windows' installer puts it."""
    name = f"qemu-system-{machine_architecture()}"
    found = shutil.which(name)
    if found:
        return Path(found)
    for variable in ("ProgramFiles", "ProgramW6432"):
        folder = os.environ.get(variable)
        candidate = Path(folder or ".") / "qemu" / f"{name}.exe"
        if folder and candidate.exists():
            return candidate
    return None


def ensure_qemu() -> None:
    """Find QEMU or install it.

    Raises:
        SetupError: it is not there and cannot be installed.
    """
    found = find_qemu()
    if found is None:
        arm = machine_architecture() == "aarch64"
        names = {
            "apt": ["qemu-system-arm", "qemu-efi-aarch64"] if arm else ["qemu-system-x86"],
            "dnf": ["qemu-system-aarch64-core", "edk2-aarch64"] if arm else ["qemu-system-x86-core"],
            "brew": ["qemu"],
            "winget": ["SoftwareFreedomConservancy.QEMU"],
        }
        install_packages(names, why="QEMU")
        found = find_qemu()
        if found is None:
            raise SetupError("QEMU was installed but is not found; open a new terminal and start again")
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    say(f"    {found}: {version}")


def in_environment(*arguments: str) -> int:
    """Run Python of the virtual environment; returns its exit code."""
    return subprocess.run([venv_program("python"), *arguments], cwd=ROOT).returncode


def finish(steps: Steps, work: object) -> int:
    """Run a program's steps, print its table whatever happens; returns the exit code."""
    assert callable(work)
    try:
        return int(work() or 0)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        steps.print_table()
