"""Format, lint, types, borders and the quick tests, in one command: `python3 ci/check.py [--fix]`."""

from __future__ import annotations

import subprocess
import sys

import setup

EVERYWHERE = ("host/atoll", "vm_images/atoll_images", "guest_agent/atoll_agent/api")
LINUX_ONLY = ("guest_agent/atoll_agent",)
PLATFORMS = ("linux", "darwin", "win32")


def checks(*, fix: bool) -> list[tuple[str, list[str]]]:
    """All checks: a title and a command of the virtual environment."""
    types = [
        (
            f"types, {platform}",
            ["mypy", "--platform", platform, *(EVERYWHERE if platform != "linux" else EVERYWHERE[:2] + LINUX_ONLY)],
        )
        for platform in PLATFORMS
    ]
    return [
        ("format", ["ruff", "format", *([] if fix else ["--check"]), "."]),
        ("lint", ["ruff", "check", *(["--fix"] if fix else []), "."]),
        *types,
        ("borders", ["lint-imports"]),
        ("unit and style tests", ["pytest", "-q", "-n", "auto", "tests/unit", "tests/style"]),
    ]


def main() -> int:
    """Run all checks, also after one has failed; returns 1 then."""
    steps = setup.Steps()
    return setup.finish(steps, lambda: work(steps))


def work(steps: setup.Steps) -> int:
    """The steps, in order.

    Raises:
        setup.SetupError: the set-up failed.
    """
    with steps.step("virtual environment"):
        setup.ensure_environment("check", "test")
    failed = []
    for title, (program, *arguments) in checks(fix="--fix" in sys.argv[1:]):
        with steps.step(title):
            command = [setup.venv_program(program), *arguments]
            if subprocess.run(command, cwd=setup.ROOT, stdin=subprocess.DEVNULL).returncode:
                failed.append(title)
                setup.say(f"    FAILED: {title}")
    setup.say(f"\nfailed: {', '.join(failed)}" if failed else "\nall checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
