"""The register of containers: making, finding, naming and removing, with a real store of images and records."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the engine runs on Linux", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.cgroups.hierarchy import Hierarchy
from atoll_agent.engine.containers import Containers
from atoll_agent.engine.events import Events
from atoll_agent.engine.records import RUNNING, RecordStore
from atoll_agent.engine.volumes import Volumes
from atoll_agent.images.store import NATIVE_ARCHITECTURE, ImageStore
from atoll_agent.network.bridge import BridgeDriver
from atoll_agent.network.networks import Networks
from atoll_agent.network.records import NetworkStore
from atoll_agent.volumes.mounting import Mounting
from atoll_agent.volumes.store import VolumeStore

FOREIGN = "arm64" if NATIVE_ARCHITECTURE == "amd64" else "amd64"


@pytest.fixture
def containers(make: SimpleNamespace, tmp_path: Path) -> Containers:
    images = ImageStore(tmp_path)
    native = make.config([], architecture=NATIVE_ARCHITECTURE)
    foreign = make.config([], architecture=FOREIGN)
    list(images.load(io.BytesIO(make.docker_archive((native, [], ["native"]), (foreign, [], ["foreign"])))))
    return open_again(tmp_path, images)


def open_again(root: Path, images: ImageStore | None = None) -> Containers:
    networks = Networks(NetworkStore(root), BridgeDriver("test"), "test0")
    images, events = images or ImageStore(root), Events()
    volumes = Volumes(VolumeStore(root), images, events, Mounting())
    return Containers(RecordStore(root), images, volumes, networks, Hierarchy(None, frozenset()), events)


def create(containers: Containers, name: str = "", platform: str = "", image: str = "native", **host: Any) -> str:
    return containers.create({"Image": image, "HostConfig": host}, name, platform).container.id


def refused(containers: Containers, body: dict[str, Any], name: str = "", platform: str = "") -> tuple[int, str]:
    with pytest.raises(AgentError) as caught:
        containers.create(body, name, platform)
    return caught.value.status, caught.value.message


def test_making_and_finding(containers: Containers, tmp_path: Path) -> None:
    first = create(containers, "web")
    made = containers.get(first)
    assert len(first) == 64
    assert (made.name, made.image, made.config["Cmd"]) == ("web", "native", ["sh"])
    for name in ("web", "/web", first, first[:12]):
        assert containers.get(name) is made
    assert containers.find(first[:12]) is None
    for name in ("", "we", "nothing", "0" * 64, first + "0"):
        with pytest.raises(AgentError, match="No such container") as caught:
            containers.get(name)
        assert caught.value.status == 404
    assert [c.name for c in open_again(tmp_path).all()] == ["web"]


def test_an_ambiguous_beginning(containers: Containers) -> None:
    """Of seventeen ids two have the same first digit."""
    digits = [create(containers)[0] for _ in range(17)]
    double = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(AgentError, match=f"Multiple IDs found with provided prefix: {double}") as caught:
        containers.get(double)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Cmd": ["x"]}, 400, "no image specified"),
        ({"Image": "nothing"}, 404, "No such image: nothing:latest"),
        ({"Image": "Not A Name"}, 400, "invalid reference format"),
        ({"Image": "native", "HostConfig": {"NetworkMode": "mine"}}, 404, "network mine not found"),
        ({"Image": "native", "HostConfig": {"CapAdd": ["NOTHING"]}}, 400, "unknown capability"),
        ({"Image": "native", "HostConfig": {"SecurityOpt": ["nothing"]}}, 400, "invalid --security-opt"),
        ({"Image": "native", "HostConfig": {"Ulimits": [{"Name": "x"}]}}, 400, "invalid ulimit type"),
        ({"Image": "native", "HostConfig": {"PidsLimit": 5}}, 400, "cannot limit pids"),
        ({"Image": "native", "HostConfig": {"LogConfig": {"Config": {"max-size": "x"}}}}, 400, "invalid log option"),
        ({"Image": "native", "HostConfig": {"Binds": ["/a:b"]}}, 400, "must be absolute"),
    ],
)
def test_a_refused_request_leaves_nothing(
    containers: Containers, tmp_path: Path, body: dict[str, Any], status: int, words: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = refused(containers, body, "web")
    assert found[0] == status
    assert words in found[1]
    assert containers.all() == []
    assert sorted(tmp_path.rglob("*")) == before
    create(containers, "web")


def test_a_full_disk_leaves_nothing(containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.rglob("*"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("atoll_agent.engine.records.write_json", full)
        with pytest.raises(OSError, match="No space left"):
            create(containers, "web")
    assert sorted(tmp_path.rglob("*")) == before
    create(containers, "web")


def test_names(containers: Containers) -> None:
    first = create(containers, "web")
    status, message = refused(containers, {"Image": "native"}, "/web")
    assert (status, message.startswith('Conflict. The container name "/web" is already in use by container')) == (
        409,
        True,
    )
    assert first in message
    assert refused(containers, {"Image": "native"}, "bad name")[0] == 400
    other = containers.get(create(containers))
    assert other.name not in ("", "web")
    with pytest.raises(AgentError, match="already in use"):
        containers.rename(other, "web")
    containers.rename(containers.get("web"), "new")
    containers.rename(other, "web")
    assert (containers.get("new").id, containers.get("web").id) == (first, other.id)


def test_another_platform(containers: Containers) -> None:
    made = containers.create({"Image": "foreign"}, "", "")
    assert made.warnings == [
        f"The requested image's platform (linux/{FOREIGN}) does not match the detected host platform "
        f"(linux/{NATIVE_ARCHITECTURE}) and no specific platform was requested"
    ]
    assert containers.create({"Image": "native"}, "", f"linux/{NATIVE_ARCHITECTURE}").warnings == []
    status, message = refused(containers, {"Image": "native"}, platform=f"linux/{FOREIGN}")
    assert status == 404
    assert f"wanted linux/{FOREIGN}, actual: linux/{NATIVE_ARCHITECTURE}" in message


def test_removing(containers: Containers, tmp_path: Path) -> None:
    made = containers.get(create(containers, "web", Binds=["named:/n"], Mounts=[{"Type": "volume", "Target": "/a"}]))
    (anonymous,) = [point["Name"] for point in made.mounts if point["Destination"] == "/a"]
    assert containers.volumes.store.holders("named") == [made.id]
    assert containers.images_in_use() == {made.image_id: made.id[:12]}
    made.state.status = RUNNING
    with pytest.raises(AgentError, match="container is running") as caught:
        containers.remove(made, volumes=True)
    assert caught.value.status == 409
    made.state.status = "exited"
    containers.remove(made, volumes=True)
    assert [volume.name for volume in containers.volumes.store.all()] == ["named"]
    assert not [path for path in tmp_path.rglob("*") if made.id in path.name or anonymous in path.name]
    with pytest.raises(AgentError, match="No such container"):
        containers.remove(made, volumes=True)
    assert create(containers, "web")
