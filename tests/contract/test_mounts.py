"""What inspect shows of mounts, and what is said of bad ones: one table for this engine and for Docker itself.

Statuses of malformed Binds are not compared: Docker answers 500 to some of them.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

docker = pytest.importorskip("docker")
IMAGE = "atoll/base:latest"


@pytest.fixture
def api(engine_host: str) -> Iterator[Any]:
    """docker-py's plain client, which sends what it is given."""
    found = docker.APIClient(base_url=engine_host, version="1.41", timeout=60)
    yield found
    found.close()


@pytest.fixture
def volume(api: Any) -> Iterator[str]:
    """A volume's name, free at the end."""
    name = f"contract-{secrets.token_hex(4)}"
    yield name
    with contextlib.suppress(docker.errors.NotFound):
        api.remove_volume(name)


def inspect(api: Any, host: dict[str, Any]) -> dict[str, Any]:
    """Create, inspect, remove."""
    made = api.create_container_from_config({"Image": IMAGE, "Cmd": ["true"], "HostConfig": host})["Id"]
    try:
        found: dict[str, Any] = api.inspect_container(made)
        return found
    finally:
        api.remove_container(made, v=True)


BIND = {"Type": "bind", "Source": "SOURCE", "Destination": "/x", "Mode": "", "RW": True, "Propagation": "rprivate"}
VOLUME = {
    "Type": "volume", "Name": "VOLUME", "Source": "DATA", "Destination": "/x", "Driver": "local", "Mode": "z",
    "RW": True, "Propagation": "",
}  # fmt: skip
TMPFS = {"Type": "tmpfs", "Source": "", "Destination": "/x", "Mode": "", "RW": True, "Propagation": ""}


def mount(kind: str, **fields: Any) -> dict[str, Any]:
    return {"Mounts": [{"Type": kind, "Target": "/x", **fields}]}


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ({"Binds": ["SOURCE:/x"]}, BIND),
        ({"Binds": ["SOURCE:/x:ro"]}, {**BIND, "Mode": "ro", "RW": False}),
        ({"Binds": ["SOURCE/:/y/..//x/:rslave,z"]}, {**BIND, "Mode": "rslave,z", "Propagation": "rslave"}),
        ({"Binds": ["SOURCE:/x:consistent"]}, {**BIND, "Mode": "consistent"}),
        ({"Binds": ["VOLUME:/x"]}, VOLUME),
        ({"Binds": ["VOLUME:/x:ro"]}, {**VOLUME, "Mode": "ro", "RW": False}),
        ({"Binds": ["VOLUME:/x:nocopy"]}, {**VOLUME, "Mode": "nocopy"}),
        ({"Binds": ["/x"]}, {**VOLUME, "Name": "ID"}),
        (mount("bind", Source="SOURCE"), BIND),
        (mount("bind", Source="SOURCE", ReadOnly=True, Consistency="cached"), {**BIND, "RW": False}),
        (mount("bind", Source="SOURCE", BindOptions={"Propagation": "slave"}), {**BIND, "Propagation": "slave"}),
        (mount("volume"), {**VOLUME, "Name": "ID"}),
        (mount("volume", Source="VOLUME", ReadOnly=True), {**VOLUME, "RW": False}),
        (mount("volume", Source="VOLUME", VolumeOptions={"NoCopy": True, "Labels": {"a": "b"}}), VOLUME),
        (mount("tmpfs", TmpfsOptions={"SizeBytes": 1 << 20, "Mode": 0o1777}), TMPFS),
        (mount("tmpfs", ReadOnly=True), {**TMPFS, "RW": False}),
        ({"Tmpfs": {"/x": "size=1m,mode=1770,exec"}}, None),
    ],
)
def test_what_inspect_shows(api: Any, volume: str, tmp_path: Path, host: Any, shown: Any) -> None:
    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("SOURCE", str(tmp_path)).replace("VOLUME", volume)
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return [fill(item) for item in value] if isinstance(value, list) else value

    host = fill(host)
    found = inspect(api, host)
    for key, value in host.items():
        assert found["HostConfig"][key] == value
    points = found["Mounts"]
    for point in points:
        if point["Type"] == "volume":
            assert point["Source"].endswith(f"/volumes/{point['Name']}/_data")
            point["Source"] = "DATA"
        point |= {"Name": re.sub("^[0-9a-f]{64}$", "ID", point["Name"])} if "Name" in point else {}
    assert points == ([] if shown is None else [fill(shown)])


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"Binds": [""]}, "invalid volume specification: ''"),
        ({"Binds": ["/a:ro"]}, "invalid volume specification: '/a:ro'"),
        ({"Binds": ["/a:/b:ro:x"]}, "invalid volume specification: '/a:/b:ro:x'"),
        ({"Binds": ["/a:/b:ro,rw"]}, "invalid mode: ro,rw"),
        ({"Binds": ["/a:/b:bogus"]}, "invalid mode: bogus"),
        ({"Binds": ["/a:/b:nocopy"]},
         "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \"bind\": "
         "field VolumeOptions must not be specified"),
        ({"Binds": ["ab:/b:rslave"]},
         "invalid volume specification: 'ab:/b:rslave': invalid mount config for type \"volume\": "
         "field BindOptions must not be specified"),
        ({"Binds": ["/tmp:rel"]},
         "invalid volume specification: '/tmp:rel': invalid mount config for type \"bind\": "
         "invalid mount path: 'rel' mount path must be absolute"),
        ({"Binds": ["/tmp:/x/../"]},
         "invalid volume specification: '/tmp:/x/../': invalid mount config for type \"bind\": "
         "invalid specification: destination can't be '/'"),
        ({"Binds": ["a/b:/x"]},
         'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" '
         "are allowed. If you intended to pass a host directory, use absolute path"),
        ({"Binds": ["v:/x"]},
         "create v: volume name is too short, names should be at least two alphanumeric characters"),
        ({"Binds": ["/tmp:/x", "/tmp:/x/"]}, "Duplicate mount point: /x"),
        ({"Binds": ["/tmp:/x"], "Tmpfs": {"/x": ""}}, "Duplicate mount point: /x"),
        (mount("npipe", Source="x"), 'invalid mount config for type "npipe": mount type unknown'),
        (mount("cluster", Source="x"), 'invalid mount config for type "cluster": mount type unknown'),
        (mount("bind"), 'invalid mount config for type "bind": field Source must not be empty'),
        (mount("bind", Source="rel"),
         "invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be absolute"),
        (mount("bind", Source="/not/there"),
         'invalid mount config for type "bind": bind source path does not exist: /not/there'),
        (mount("bind", Source="/tmp", BindOptions={"Propagation": "odd"}),
         'invalid mount config for type "bind": invalid propagation mode: odd'),
        (mount("bind", Source="/tmp", VolumeOptions={}),
         'invalid mount config for type "bind": field VolumeOptions must not be specified'),
        (mount("tmpfs", Source="x"), 'invalid mount config for type "tmpfs": field Source must not be specified'),
        (mount("volume", Source="ab", VolumeOptions={"DriverConfig": {"Name": "odd"}}),
         'create ab: error looking up volume plugin odd: plugin "odd" not found'),
        (mount("volume", Source="ab", VolumeOptions={"DriverConfig": {"Name": "local", "Options": {"odd": "x"}}}),
         'create ab: invalid option: "odd"'),
        ({"Tmpfs": {"rel": ""}}, "invalid mount path: 'rel' mount path must be absolute"),
        ({"VolumesFrom": [""]}, "volumes-from specification cannot be an empty string"),
        ({"VolumesFrom": ["no-such-container"]}, "No such container: no-such-container"),
        ({"VolumesFrom": ["x:nocopy"]}, "invalid mode: nocopy"),
    ],
)  # fmt: skip
def test_what_is_said_of_bad_ones(api: Any, host: Any, words: str) -> None:
    with pytest.raises(docker.errors.APIError) as caught:
        inspect(api, host)
    assert caught.value.explanation == words


def test_volumes_of_a_container_that_never_ran(api: Any, volume: str) -> None:
    host = {"Binds": [f"{volume}:/data"], "NetworkMode": "none"}
    donor = api.create_container_from_config({"Image": IMAGE, "Cmd": ["true"], "HostConfig": host})["Id"]
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"VolumesFrom": [f"{donor}:ro"], "NetworkMode": "none"}}
    guest = api.create_container_from_config(body)["Id"]
    (point,) = api.inspect_container(guest)["Mounts"]
    assert (point["Name"], point["RW"], point["Mode"]) == (volume, False, "")
    api.remove_container(donor, v=True)
    api.remove_container(guest, v=True)
    assert api.inspect_volume(volume)["Name"] == volume


def test_a_volumes_life(api: Any, volume: str) -> None:
    made = api.create_volume(volume, driver="local", driver_opts={}, labels={"tier": "web"})
    assert api.create_volume(volume, labels={"other": "x"}) == made == api.inspect_volume(volume)
    assert {key: made[key] for key in ("Driver", "Scope", "Labels", "Options")} == {
        "Driver": "local", "Scope": "local", "Labels": {"tier": "web"}, "Options": {},
    }  # fmt: skip
    for filters in ({"name": volume}, {"label": "tier=web"}, {"dangling": True}, {"driver": "local"}):
        assert volume in [row["Name"] for row in api.volumes(filters)["Volumes"]]
    api.remove_volume(volume)
    with pytest.raises(docker.errors.NotFound, match=f"get {volume}: no such volume"):
        api.remove_volume(volume)


def test_a_volume_through_the_command_line(docker: Any, name: str) -> None:
    volume = f"{name}-v"
    options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m", "--label", "a=b"]
    assert docker.out("volume", "create", *options, volume) == volume
    assert docker.out("volume", "ls", "-q", "--filter", "label=a=b", "--filter", f"name={volume}") == volume
    assert docker.out("volume", "inspect", "-f", "{{.Options.o}} {{.Labels.a}}", volume) == "size=1m b"
    out = docker.out("run", "--rm", "--network", "none", "-v", f"{volume}:/v", IMAGE, "df", "-k", "/v")
    assert out.split()[-5] == "1024"
    assert docker.out("volume", "rm", volume) == volume
    anonymous = docker.out("volume", "create")
    assert anonymous in docker.out("volume", "prune", "-f")
    assert anonymous not in docker.out("volume", "ls", "-q")
