"""Docker compose v2 against the engine: a project of three services, from `up` to `down -v`."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

DEADLINE_S = 120
PROJECT = """
services:
  db:
    image: atoll/base
    command: sh -c 'echo from-db > /data/index.html; touch /ready; exec busybox httpd -f -p 80 -h /data'
    volumes: [ "data:/data" ]
    healthcheck: { test: ["CMD", "test", "-f", "/ready"], interval: 1s, retries: 30 }
    networks: { back: { aliases: [database] } }
  app:
    image: atoll/base
    command: sh -c 'wget -q -O - http://database/; exec busybox httpd -f -p 80 -h /etc'
    depends_on: { db: { condition: service_healthy } }
    ports: [ "127.0.0.1::80" ]
    networks: [ back, front ]
  worker:
    image: atoll/base
    command: sleep 1000
    init: true
    depends_on: [ app ]
    networks: [ front ]
networks: { back: { internal: true }, front: {} }
volumes: { data: {} }
"""


def find_compose() -> list[str]:
    """The command of compose v2; empty where there is none."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
            if asked.returncode == 0 and not asked.stdout.startswith("1."):
                return command
    return []


class Project:
    """One compose project."""

    def __init__(self, host: str, directory: Path) -> None:
        (directory / "compose.yaml").write_text(PROJECT)
        self._directory = directory
        self._command = [*find_compose(), "-p", f"atoll{secrets.token_hex(3)}"]
        self._environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CONFIG": str(directory / "config")}

    def __call__(self, *args: str) -> str:
        done = subprocess.run(
            [*self._command, *args],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def services(self) -> list[str]:
        return sorted(json.loads(line)["Service"] for line in self("ps", "--format", "json").splitlines())


@pytest.fixture
def project(engine_host: str, tmp_path: Path) -> Iterator[Project]:
    if not find_compose():
        pytest.skip("docker compose v2 is not installed")
    made = Project(engine_host, tmp_path)
    yield made
    made("down", "-v", "-t", "0")


def test_three_services(project: Project) -> None:
    project("up", "-d")
    assert project.services() == ["app", "db", "worker"]
    assert "from-db" in project("logs", "app")  # it started after its database was healthy, and found it by its alias
    assert project("exec", "-T", "worker", "echo", "word").strip() == "word"
    address = project("port", "app", "80").strip()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    assert urllib.request.urlopen(f"http://{address}/passwd", timeout=30).status == 200
    project("up", "-d", "--no-recreate", "--scale", "worker=3")
    assert project.services() == ["app", "db", "worker", "worker", "worker"]
    project("restart", "-t", "0", "worker")
    project("down", "-v", "-t", "0")
    assert project.services() == []
