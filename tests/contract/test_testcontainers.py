"""testcontainers-python against the engine: waiting by log, by port and by health, networks, exec."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

pytest.importorskip("testcontainers", reason="testcontainers is not installed")

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import (
    HealthcheckWaitStrategy,
    LogMessageWaitStrategy,
    PortWaitStrategy,
)

SERVER = "sh -c 'echo ready to serve; exec busybox httpd -f -p 80 -h /etc'"

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # connections that docker-py leaves open


@pytest.fixture(autouse=True)
def on_the_engine(engine_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Its reaper needs an image of its own from a registry, so each test cleans up itself."""
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    yield


def container(command: str, **more: object) -> DockerContainer:
    return DockerContainer("atoll/base", **more).with_command(command)


def test_by_log_on_a_network_with_exec() -> None:
    with Network() as network:
        server = container(SERVER).with_exposed_ports(80).with_network(network).with_network_aliases("web")
        with server.waiting_for(LogMessageWaitStrategy("ready to serve")):
            url = f"http://{server.get_container_host_ip()}:{server.get_exposed_port(80)}/passwd"
            assert urllib.request.urlopen(url, timeout=30).status == 200
            with container("sleep 100").with_network(network) as client:
                code, output = client.exec(["wget", "-q", "-O", "-", "http://web/hostname"])
                assert (code, output.decode().strip()) == (0, server.get_wrapped_container().id[:12])
                assert client.exec("sh -c 'exit 3'").exit_code == 3


def test_by_port() -> None:
    with container(SERVER).with_exposed_ports(80).waiting_for(PortWaitStrategy(80)) as server:
        assert int(server.get_exposed_port(80)) > 0


def test_by_health() -> None:
    check = {"test": ["CMD", "test", "-f", "/tmp/ok"], "interval": 200_000_000, "retries": 50}
    with container("sh -c 'sleep 0.5; touch /tmp/ok; sleep 100'", healthcheck=check).waiting_for(
        HealthcheckWaitStrategy()
    ) as healthy:
        found = healthy.get_wrapped_container()
        found.reload()
        assert found.attrs["State"]["Health"]["Status"] == "healthy"
