"""docker-py, which testcontainers and many scripts stand on, against the engine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest

docker = pytest.importorskip("docker")

IMAGE = "atoll/base:latest"

# docker-py leaves its hijacked sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(engine_host: str) -> Iterator[docker.DockerClient]:  # type: ignore[name-defined]
    """A client that has negotiated its version."""
    found = docker.DockerClient(base_url=engine_host, timeout=60)
    yield found
    found.close()


@pytest.fixture
def container(client: docker.DockerClient) -> Iterator[docker.models.containers.Container]:  # type: ignore[name-defined]
    """A running container."""
    made = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, network_mode="none", environment={"A": "1"})
    yield made
    made.remove(force=True)


def test_ping_and_version(client: docker.DockerClient) -> None:  # type: ignore[name-defined]
    assert client.ping() is True
    assert client.version()["Os"] == "linux"


def test_run_returns_the_output(client: docker.DockerClient) -> None:  # type: ignore[name-defined]
    assert client.containers.run(IMAGE, ["echo", "hello"], remove=True, network_mode="none") == b"hello\n"


def test_failed_run_raises_with_exit_code_and_stderr(client: docker.DockerClient) -> None:  # type: ignore[name-defined]
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run(IMAGE, ["sh", "-c", "echo bad >&2; exit 3"], remove=True, network_mode="none")
    assert caught.value.exit_status == 3
    assert b"bad" in caught.value.stderr


def test_image_that_is_not_there(client: docker.DockerClient) -> None:  # type: ignore[name-defined]
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("no/such:image")
    with pytest.raises(docker.errors.ImageNotFound):
        client.api.create_container("no/such:image")


def test_list_inspect_and_logs(client: docker.DockerClient, container: object) -> None:  # type: ignore[name-defined]
    assert container.id in [found.id for found in client.containers.list()]  # type: ignore[attr-defined]
    container.reload()  # type: ignore[attr-defined]
    assert container.status == "running"  # type: ignore[attr-defined]
    assert container.logs() == b""  # type: ignore[attr-defined]


def test_exec(container: object) -> None:
    result = container.exec_run(["sh", "-c", "echo $A; echo err >&2; exit 4"], demux=True)  # type: ignore[attr-defined]
    assert result.exit_code == 4
    assert result.output == (b"1\n", b"err\n")


def test_stop_and_wait(container: object) -> None:
    container.stop(timeout=0)  # type: ignore[attr-defined]
    assert container.wait()["StatusCode"] == 137  # type: ignore[attr-defined]


def test_save_is_not_needed_to_tag(client: docker.DockerClient) -> None:  # type: ignore[name-defined]
    image = client.images.get(IMAGE)
    assert image.tag("contract/py", "v1")
    assert "contract/py:v1" in client.images.get(IMAGE).tags
    client.images.remove("contract/py:v1")


def test_error_message_reaches_the_client(client: docker.DockerClient) -> None:  # type: ignore[name-defined]
    with pytest.raises(docker.errors.NotFound, match=r"(?i)no such container"):
        client.containers.get("nosuch")


def test_files_of_a_container(client: docker.DockerClient, container: docker.models.containers.Container) -> None:  # type: ignore[name-defined]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("packed")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"ok"))
    assert container.put_archive("/tmp", out.getvalue())
    parts, status = container.get_archive("/tmp/packed")
    assert (status["name"], status["size"], status["linkTarget"]) == ("packed", 2, "")
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
        assert archive.getnames() == ["packed"]
    assert {"Path": "/tmp/packed", "Kind": 1} in container.diff()
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as archive:
        assert "tmp/packed" in archive.getnames()


def test_images_come_and_go(client: docker.DockerClient, container: docker.models.containers.Container) -> None:  # type: ignore[name-defined]
    made = container.commit("contract/py", "v2", message="why", author="who", conf={"Labels": {"a": "1"}})
    assert made.tags == ["contract/py:v2"]
    assert made.history()[0]["Comment"] == "why"
    data = b"".join(made.save(named=True))
    client.images.remove("contract/py:v2")
    (loaded,) = client.images.load(data)
    assert loaded.id == made.id
    assert "contract/py:v2" in [tag for image in client.images.list(filters={"label": "a=1"}) for tag in image.tags]
    client.images.remove("contract/py:v2")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("contract/py:v2")
    assert {"LayersSize", "Images", "Containers", "Volumes"} <= set(client.df())
    assert set(client.images.prune(filters={"label": "nobody=has"})) == {"ImagesDeleted", "SpaceReclaimed"}
