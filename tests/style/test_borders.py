"""Who may import whom, and what an import costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOORS = {
    "paramiko": ("atoll.ssh",),
    "qemu": ("atoll.qemu.monitor",),
    "click": ("atoll.cli",),
    "cryptography": ("atoll.machine.certificates", "atoll.ssh.keys"),
    "docker": (),
    "pytest": ("atoll.testing",),
}


def test_import_contracts_hold(root: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=root,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("package", "doors"), DOORS.items())
def test_third_party_package_has_one_door(package: str, doors: tuple[str, ...], all_modules: list) -> None:  # type: ignore[type-arg]
    outside = [
        module.name
        for module in all_modules
        if any(name.split(".")[0] == package for name in module.imports)
        and not any(module.name == door or module.name.startswith(door + ".") for door in doors)
    ]
    assert not outside


def test_command_line_floor() -> None:
    """What `atoll run` imports is what its user waits for: these would cost more than the container does."""
    script = (
        "import sys, atoll.cli.quick, atoll.cli.launch, atoll.cli.console.session, atoll.cli.console.signals\n"
        "import atoll.client.engine, atoll.client.containers\n"
        "print(' '.join(sorted(set(sys.modules) & set(sys.argv[1:]))))"
    )
    heavy = ["asyncio", "ssl", "email", "http.client", "urllib.parse", "paramiko", "qemu.qmp", "logging", "subprocess"]
    heavy += ["click", "inspect", "dataclasses", "pathlib"]
    # -S: without the site packages' own start-up code, which may import anything.
    result = subprocess.run(
        [sys.executable, "-S", "-c", script, *heavy], capture_output=True, text=True, env=_with_path()
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def _with_path() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / source) for source in ("host", "guest_agent"))}
