"""The engine as foreign clients see it.

`ATOLL_TEST_HOST` names an engine that runs already, which may be Docker's own: these tests must pass against it too, or
it is the tests that are wrong. Without it a native engine is started, which needs root on Linux.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..kernel.conftest import Engine, base_archive

__all__ = ["base_archive"]

DEADLINE_S = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs an engine."""
    here = Path(__file__).parent
    startable = sys.platform == "linux" and os.geteuid() == 0
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.contract)
            if not startable and not os.environ.get("ATOLL_TEST_HOST"):
                item.add_marker(pytest.mark.skip(reason="needs root on Linux, or ATOLL_TEST_HOST"))


@pytest.fixture(scope="session")
def engine_host(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an engine that has the image atoll/base:latest, in the form of DOCKER_HOST."""
    given = os.environ.get("ATOLL_TEST_HOST")
    if given:
        yield given
        return
    engine = Engine(request.getfixturevalue("tmp_path_factory").mktemp("contract"), f"atollc-{os.getpid()}")
    engine.start()
    engine.ok("POST", "/images/load", request.getfixturevalue("base_archive").read_bytes())
    yield f"unix://{engine.socket}"
    for row in engine.ok("GET", "/containers/json", all=1):
        engine.call("DELETE", f"/containers/{row['Id']}", force=1)
    engine.stop()


def find_docker_clients() -> list[str]:
    """Every docker CLI on this computer, one per version: old and new ones ask differently."""
    found: dict[str, str] = {}
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        program = shutil.which("docker", path=folder)
        if program:
            version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
            found.setdefault(version, program)
    return list(found.values())


class DockerCli:
    """Runs one docker CLI against the engine."""

    def __init__(self, program: str, host: str, config: Path) -> None:
        self._program, self._host, self._config = program, host, config

    def __call__(self, *args: str, stdin: bytes = b"", code: int | None = 0) -> subprocess.CompletedProcess[bytes]:
        """Run a command and check its exit code (None: any)."""
        result = subprocess.run(self.command(*args), input=stdin, capture_output=True, timeout=DEADLINE_S)
        if code is not None:
            assert result.returncode == code, (args, result.returncode, result.stdout, result.stderr)
        return result

    def command(self, *args: str) -> list[str]:
        """The whole command line."""
        return [self._program, "--config", str(self._config), "-H", self._host, *args]

    def out(self, *args: str, stdin: bytes = b"") -> str:
        """Run a command and return its output."""
        return self(*args, stdin=stdin).stdout.decode().strip()


@pytest.fixture(params=find_docker_clients() or [pytest.param("", marks=pytest.mark.skip(reason="no docker CLI"))])
def docker(request: pytest.FixtureRequest, engine_host: str, tmp_path: Path) -> DockerCli:
    """Docker's own command line, speaking to the engine."""
    return DockerCli(request.param, engine_host, tmp_path)


@pytest.fixture
def name(docker: DockerCli) -> Iterator[str]:
    """Name of a container, gone after the test."""
    chosen = f"contract-{secrets.token_hex(4)}"
    yield chosen
    docker("rm", "-f", chosen, code=None)
