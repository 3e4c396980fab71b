"""The whole test suite, from a fresh clone: `python3 ci/test.py [pytest arguments]`.

Sets up what is needed (see `setup`), then runs pytest over each group of tests with as many workers as it bears. What
this computer cannot run is left out, with the reason. Ends with one line in pytest's form over all groups.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import setup

LINUX = sys.platform == "linux"
VM_WORKERS = 2


@dataclass(frozen=True)
class Group:
    """One run of pytest.

    Attributes:
        folders: below `tests/`.
        workers: processes for pytest-xdist, `auto` for one per CPU, 0 for none.
        skip: why this computer cannot run it; empty when it can.
    """

    name: str
    folders: tuple[str, ...]
    workers: str
    skip: str = ""


@dataclass
class Totals:
    """Results added up over all groups."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0

    def add_report(self, path: Path) -> None:
        """Add one group's JUnit report; none was written when pytest itself broke."""
        if not path.exists():
            self.errors += 1
            return
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
            self.failed += count["failures"]
            self.errors += count["errors"]
            self.skipped += count["skipped"]
            self.passed += count["tests"] - count["failures"] - count["errors"] - count["skipped"]

    def format(self, seconds: float) -> str:
        """Format as pytest's last line."""
        parts = {"failed": self.failed, "passed": self.passed, "skipped": self.skipped, "error": self.errors}
        text = ", ".join(f"{count} {name}" for name, count in parts.items() if count) or "no tests ran"
        return f" {text} in {seconds:.2f}s ".center(100, "=")


def groups() -> list[Group]:
    """The groups, with what this computer cannot run marked."""
    no_root = "" if LINUX and setup.is_root() else "needs Linux and root"
    return [
        Group("unit and style", ("unit", "style"), "auto"),
        Group("kernel", ("kernel",), "0", skip=no_root),
        Group("contract", ("contract",), "0", skip=no_root),
        Group("vm", ("vm",), str(VM_WORKERS)),
    ]


def install_helpers(steps: setup.Steps) -> None:
    """What only the tests need: libseccomp for the native driver, and Docker's own client as a judge of the engine."""
    if not (LINUX and setup.is_root() and shutil.which("apt-get")):
        steps.skip("test helpers", "installed by apt as root only")
        return
    wanted = []
    if not any(Path("/usr/lib").glob("*-linux-gnu/libseccomp.so.2")):
        wanted.append("libseccomp2")
    if shutil.which("docker") is None:
        wanted.append("docker.io")
    with steps.step("test helpers"):
        if wanted:
            setup.install_packages({"apt": wanted}, why="test helpers")
        else:
            setup.say("    all there")


def run_group(group: Group, arguments: list[str], totals: Totals) -> int:
    """Run pytest over one group; returns its exit code, 0 also when there were no tests."""
    folders = [f"tests/{name}" for name in group.folders if any((setup.ROOT / "tests" / name).rglob("test_*.py"))]
    if not folders:
        setup.say("    no tests yet")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [setup.venv_program("python"), "-m", "pytest", f"--junitxml={report}", "-n", group.workers]
        # Tests of one file share fixtures that are expensive to make: keep them on one worker.
        command += ["--dist", "loadfile", *folders, *arguments]
        code = subprocess.run(command, cwd=setup.ROOT, stdin=subprocess.DEVNULL).returncode
        if code != NO_TESTS:
            totals.add_report(report)
    return 0 if code == NO_TESTS else code


NO_TESTS = 5


def main() -> int:
    """Do all of it."""
    steps = setup.Steps()
    return setup.finish(steps, lambda: work(steps, sys.argv[1:]))


def work(steps: setup.Steps, arguments: list[str]) -> int:
    """The steps, in order.

    Raises:
        setup.SetupError: the set-up failed.
    """
    begun = time.monotonic()
    setup.say(f"    {platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    with steps.step("virtual environment"):
        setup.ensure_environment("check", "test")
    with steps.step("QEMU"):
        setup.ensure_qemu()
    install_helpers(steps)
    with steps.step("machine image"):
        setup.run(setup.venv_program("python"), "ci/image.py")
    totals = Totals()
    code = 0
    for group in groups():
        if group.skip:
            steps.skip(f"tests: {group.name}", group.skip)
            continue
        with steps.step(f"tests: {group.name}"):
            code = run_group(group, arguments, totals) or code
    setup.say(totals.format(time.monotonic() - begun))
    return 1 if code or totals.failed or totals.errors else 0


if __name__ == "__main__":
    sys.exit(main())
