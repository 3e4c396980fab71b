"""Answers against Docker's own description of its API: status and shape."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..kernel.conftest import Engine
from .schema import Schema, find_schema


@pytest.fixture(scope="module")
def schema() -> Schema:
    path = find_schema()
    if path is None:
        pytest.skip("Docker's description of its API is not here; name it with ATOLL_API_SCHEMA")
    return Schema(path)


class Judged:
    """An engine whose every answer is held against the description."""

    def __init__(self, engine: Engine, schema: Schema) -> None:
        self._engine, self._schema = engine, schema
        self.asked: set[tuple[str, str]] = set()

    def __call__(self, method: str, path: str, body: Any = None, /, *, status: int | None = None, **query: Any) -> Any:
        """Ask; the answer must be as described."""
        described = self._schema.find(method, path)
        self.asked.add((method, described))
        got, value = self._engine.call(method, path, body, **query)
        value = value.decode() if isinstance(value, bytes) else value
        assert got == status if status else got < 400, (method, path, got, value)
        assert not (problems := self._schema.problems(method, described, got, value)), (method, path, problems)
        return value


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, base_archive: Path) -> Iterator[Engine]:
    made = Engine(tmp_path_factory.mktemp("schema"), "atoll-schema")
    made.start()
    made.ok("POST", "/images/load", base_archive.read_bytes())
    yield made
    for row in made.ok("GET", "/containers/json", all=1):
        made.call("DELETE", f"/containers/{row['Id']}", force=1)
    made.stop()


@pytest.fixture
def judged(engine: Engine, schema: Schema) -> Judged:
    return Judged(engine, schema)


def archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return data.getvalue()


def test_the_engine(judged: Judged) -> None:
    for path in ("/info", "/version", "/system/df"):
        judged("GET", path)
    judged("GET", "/_ping")
    judged("GET", "/plugins")
    for path in ("/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"):
        judged("GET", path, status=503)
    judged("POST", "/swarm/leave", status=503)
    judged("POST", "/build/prune")


def test_networks(judged: Judged) -> None:
    ipam = {"Config": [{"Subnet": "10.123.0.0/24", "AuxiliaryAddresses": {"a": "10.123.0.9"}}]}
    made = judged("POST", "/networks/create", {"Name": "seen", "IPAM": ipam, "Labels": {"a": "b"}}, status=201)["Id"]
    judged("GET", "/networks")
    judged("GET", f"/networks/{made}")
    judged("GET", "/networks/none-such", status=404)
    body = {"Image": "atoll/base", "Cmd": ["sleep", "100"]}
    container = judged("POST", "/containers/create", body, status=201)["Id"]
    judged("POST", f"/containers/{container}/start", status=204)
    judged("POST", f"/networks/{made}/connect", {"Container": container})
    judged("GET", f"/networks/{made}")
    judged("GET", f"/containers/{container}/json")
    judged("DELETE", f"/networks/{made}", status=403)
    judged("POST", f"/networks/{made}/disconnect", {"Container": container})
    judged("DELETE", f"/containers/{container}", status=204, force=1)
    judged("DELETE", f"/networks/{made}", status=204)
    judged("POST", "/networks/prune")


def test_volumes(judged: Judged) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    judged("POST", "/volumes/create", {"Name": "seen", "Labels": {"a": "b"}, "DriverOpts": options}, status=201)
    judged("GET", "/volumes")
    judged("GET", "/volumes/seen")
    judged("GET", "/volumes/none-such", status=404)
    judged("DELETE", "/volumes/seen", status=204)
    judged("POST", "/volumes/prune")


def test_a_containers_life(judged: Judged) -> None:
    health = {"Test": ["CMD", "true"], "Interval": 10**8}
    host = {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}, "Binds": ["seen-data:/data"]}
    body = {
        "Image": "atoll/base", "Cmd": ["sh", "-c", "echo line; exec sleep 1000"], "Healthcheck": health,
        "ExposedPorts": {"80/tcp": {}}, "HostConfig": host, "Labels": {"a": "b"},
    }  # fmt: skip
    made = judged("POST", "/containers/create", body, status=201, name="seen")["Id"]
    here = f"/containers/{made}"
    judged("GET", f"{here}/json")
    judged("POST", f"{here}/start", status=204)
    judged("POST", f"{here}/start", status=304)
    judged("GET", f"{here}/json", size=1)
    judged("GET", "/containers/json", all=1, size=1)
    judged("GET", f"{here}/top")
    judged("GET", f"{here}/stats", **{"stream": 0, "one-shot": 1})
    judged("GET", f"{here}/changes")
    judged("POST", f"{here}/rename", status=204, name="seen-anew")
    judged("POST", f"{here}/update", {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}})
    judged("POST", f"{here}/pause", status=204)
    judged("GET", f"{here}/json")
    judged("POST", f"{here}/unpause", status=204)
    judged("POST", f"{here}/restart", status=204, t=0)
    judged("PUT", f"{here}/archive", archive(), path="/tmp")
    judged("HEAD", f"{here}/archive", path="/tmp/file")
    run = judged("POST", f"{here}/exec", {"Cmd": ["true"], "AttachStdout": True}, status=201)["Id"]
    judged("GET", f"/exec/{run}/json")
    judged("POST", f"/exec/{run}/start", {"Detach": True}, status=200)
    judged("GET", f"/exec/{run}/json")
    judged("POST", f"{here}/kill", status=204)
    judged("POST", f"{here}/kill", status=409)
    judged("POST", f"{here}/wait")
    judged("POST", f"{here}/stop", status=304)
    judged("GET", f"{here}/json")
    image = judged("POST", "/commit", {}, status=201, container=made, repo="seen/commit")["Id"]
    judged("GET", f"/images/{image}/json")
    judged("DELETE", here, status=204, v=1)
    judged("DELETE", f"/images/{image}")
    judged("GET", f"{here}/json", status=404)
    judged("POST", "/containers/prune")


def test_images(judged: Judged, engine: Engine) -> None:
    name = engine.ok("GET", "/images/json")[0]["Id"]
    judged("GET", "/images/json", **{"shared-size": 1})
    judged("GET", f"/images/{name}/json")
    judged("GET", f"/images/{name}/history")
    judged("POST", f"/images/{name}/tag", status=201, repo="seen/tag", tag="1")
    judged("DELETE", f"/images/{name}", status=409)
    engine.ok("DELETE", "/images/seen/tag:1")
    judged("GET", "/images/none-such/json", status=404)
    judged("POST", "/images/prune")


def test_events(engine: Engine, schema: Schema) -> None:
    engine.run("true")
    raw = engine.ok("GET", "/events", since="1", until=_now(engine))
    lines = [raw] if isinstance(raw, dict) else [json.loads(line) for line in raw.splitlines()]
    assert lines
    for line in lines:
        assert not (problems := schema.problems("GET", "/events", 200, line)), (line, problems)


def _now(engine: Engine) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(engine.ok("GET", "/info")["SystemTime"].replace("Z", "+00:00")).timestamp()) + 1
