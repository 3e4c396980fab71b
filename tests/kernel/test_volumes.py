"""Volumes and mounts of containers that really run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .archives import directory, entry, load_image, symlink
from .conftest import Engine, wait_for


@pytest.fixture
def name(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Names for volumes, which are removed at the end."""
    made: list[str] = []

    def choose(suffix: str) -> str:
        made.append(f"{request.node.name.partition('[')[0][5:]}-{suffix}")
        return made[-1]

    yield choose
    for row in engine.ok("GET", "/containers/json", all=1):
        if any(mount.get("Name") in made for mount in row["Mounts"]):
            engine.call("DELETE", f"/containers/{row['Id']}", force=1)
    for volume in made:
        assert engine.call("DELETE", f"/volumes/{volume}")[0] in (204, 404)


@pytest.fixture(scope="module")
def image(engine: Engine, base_archive: Path) -> str:
    """An image with content at /seed, which is a volume of its own, too."""
    members = [
        directory("seed", 0o1770, uid=1000, gid=2000),
        entry("seed/file", b"seeded", mode=0o4750, uid=12, gid=34, pax_headers={"SCHILY.xattr.user.colour": "red"}),
        entry("seed/again", kind=b"1", linkname="seed/file"),
        symlink("seed/link", "/etc/passwd"),
        directory("seed/deep", 0o700),
        entry("seed/deep/inner", b"deep"),
        directory("hollow", 0o2771, uid=7, gid=8),
        entry("plain", b"a file"),
        directory("sub/dir"),
        symlink("sub/out", "/../../../../etc"),
        symlink("seeds", "/seed"),
    ]
    load_image(engine, base_archive, "seeded", *members, Volumes={"/seed": {}})
    return "seeded"


def run(engine: Engine, script: str, host: dict[str, Any] | None = None, **config: Any) -> str:
    code, out = engine.run("sh", "-c", script, host=host, **config)
    assert code == 0, out
    return out


def mount(kind: str, target: str, source: str = "", **fields: Any) -> dict[str, Any]:
    return {"Mounts": [{"Type": kind, "Target": target, **({"Source": source} if source else {}), **fields}]}


# -- filling ---------------------------------------------------------------------------------


def test_a_new_volume_has_what_the_image_has(engine: Engine, image: str, name: Callable[[str], str]) -> None:
    volume = name("x")
    engine.create("true", host={"Binds": [f"{volume}:/seed"]}, Image=image)
    data = Path(engine.ok("GET", f"/volumes/{volume}")["Mountpoint"])
    top, file, deep = (os.lstat(path) for path in (data, data / "file", data / "deep"))
    assert (oct(top.st_mode & 0o7777), top.st_uid, top.st_gid) == ("0o1770", 1000, 2000)
    assert (oct(file.st_mode & 0o7777), file.st_uid, file.st_gid, file.st_nlink) == ("0o4750", 12, 34, 2)
    assert (int(file.st_mtime), oct(deep.st_mode & 0o7777)) == (1_700_000_000, "0o700")
    assert ((data / "file").read_text(), (data / "deep/inner").read_text()) == ("seeded", "deep")
    assert os.readlink(data / "link") == "/etc/passwd"
    assert os.getxattr(data / "file", "user.colour") == b"red"
    assert not (data.parent / "copying").exists()


def test_what_is_in_a_volume_stays(engine: Engine, image: str, name: Callable[[str], str]) -> None:
    host = {"Binds": [f"{name('x')}:/seed"]}
    run(engine, "rm -r /seed/*; echo mine > /seed/own", host, Image=image)
    assert run(engine, "ls /seed", host, Image=image) == "own\n"


def test_an_empty_place_gives_its_owner_and_mode(engine: Engine, image: str, name: Callable[[str], str]) -> None:
    out = run(engine, "stat -c '%a %u %g' /hollow", {"Binds": [f"{name('x')}:/hollow"]}, Image=image)
    assert out == "2771 7 8\n"


@pytest.mark.parametrize("way", ["bind", "mount"])
def test_nothing_is_copied_when_nobody_wants_it(
    engine: Engine, image: str, name: Callable[[str], str], way: str
) -> None:
    volume = name("x")
    host: dict[str, Any] = {"Binds": [f"{volume}:/seed:nocopy"]}
    if way == "mount":
        host = mount("volume", "/seed", volume, VolumeOptions={"NoCopy": True})
    assert run(engine, "ls -A /seed; stat -c %a /seed", host, Image=image) == "755\n"


def test_a_place_behind_a_symlink(engine: Engine, image: str, name: Callable[[str], str]) -> None:
    assert "file" in run(engine, "ls /seeds/", {"Binds": [f"{name('x')}:/seeds"]}, Image=image)


def test_volumes_of_the_image_go_with_their_container(engine: Engine, image: str) -> None:
    container = engine.create("cat", "/seed/file", Image=image)
    (point,) = engine.ok("GET", f"/containers/{container}/json")["Mounts"]
    assert (point["Destination"], point["Mode"], point["RW"], len(point["Name"])) == ("/seed", "", True, 64)
    found = engine.ok("GET", f"/volumes/{point['Name']}")
    assert "com.docker.volume.anonymous" in found["Labels"]
    engine.ok("POST", f"/containers/{container}/start")
    engine.ok("POST", f"/containers/{container}/wait")
    assert engine.output(container) == "seeded"
    assert engine.call("DELETE", f"/volumes/{point['Name']}")[0] == 409
    engine.ok("DELETE", f"/containers/{container}", v=1)
    assert engine.call("GET", f"/volumes/{point['Name']}")[0] == 404


def test_an_image_volume_does_not_lie_over_a_file(engine: Engine, image: str) -> None:
    status, answer = engine.call("POST", "/containers/create", {"Image": image, "Volumes": {"/plain": {}}})
    assert (status, "cannot mount volume over existing file, file exists" in answer["message"]) == (400, True)


def test_a_named_volume_does_not_lie_over_a_file(engine: Engine, image: str, name: Callable[[str], str]) -> None:
    container = engine.create("true", host={"Binds": [f"{name('x')}:/plain"]}, Image=image)
    status, answer = engine.call("POST", f"/containers/{container}/start")
    assert (status, "not a directory" in answer["message"]) == (400, True)


def test_a_failed_create_leaves_no_volume(engine: Engine, name: Callable[[str], str]) -> None:
    before = {row["Name"] for row in engine.ok("GET", "/volumes")["Volumes"]}
    host = mount("volume", "/x") | {"VolumesFrom": ["no-such-container"]}
    assert engine.call("POST", "/containers/create", {"Image": "atoll/base", "HostConfig": host})[0] == 400
    assert {row["Name"] for row in engine.ok("GET", "/volumes")["Volumes"]} == before


# -- volumes that are mounts -----------------------------------------------------------------

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000,mode=700"}


def mounted(engine: Engine, path: str) -> int:
    lines = Path(f"/proc/{engine.supervisor_pid}/mountinfo").read_text().splitlines()
    return sum(line.split()[4] == path for line in lines)


def test_a_tmpfs_volume_lives_as_long_as_its_containers(engine: Engine, name: Callable[[str], str]) -> None:
    volume = name("x")
    path = engine.ok("POST", "/volumes/create", {"Name": volume, "DriverOpts": TMPFS})["Mountpoint"]
    binds = {"Binds": [f"{volume}:/v"]}
    first = engine.running("sh", "-c", "echo shared > /v/file; exec sleep 1000", host=binds)
    second = engine.running("sleep", "1000", host=binds)
    assert mounted(engine, path) == 1
    wait_for(lambda: engine.execute(second, "cat", "/v/file") == (0, "shared\n"), "the other's file")
    assert engine.execute(second, "stat", "-c", "%u %a", "/v")[1] == "1000 700\n"
    engine.ok("POST", f"/containers/{first}/kill")
    engine.ok("POST", f"/containers/{first}/wait")
    assert mounted(engine, path) == 1
    engine.ok("POST", f"/containers/{second}/kill")
    engine.ok("POST", f"/containers/{second}/wait")
    wait_for(lambda: mounted(engine, path) == 0, "the volume to be unmounted")
    assert run(engine, "ls -A /v", binds) == ""


def test_a_volume_that_is_a_bind(engine: Engine, name: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    options = {"type": "none", "device": str(tmp_path), "o": "bind,ro"}
    host = mount("volume", "/v", name("x"), VolumeOptions={"DriverConfig": {"Name": "local", "Options": options}})
    assert run(engine, "cat /v/file; touch /v/y 2>/dev/null || echo :refused", host) == "here:refused\n"


def test_a_volume_that_cannot_be_mounted(engine: Engine, name: Callable[[str], str]) -> None:
    volume = name("x")
    options = {"type": "nosuchfs", "device": "x", "o": "password=geheim"}
    path = engine.ok("POST", "/volumes/create", {"Name": volume, "DriverOpts": options})["Mountpoint"]
    container = engine.create("true", host={"Binds": [f"{volume}:/v"]})
    status, answer = engine.call("POST", f"/containers/{container}/start")
    assert (status, answer["message"]) == (
        500,
        f"error while mounting volume '{path}': failed to mount local volume: mount x:{path}, "
        "data: password=********: no such device",
    )


def test_counts_are_right_after_the_agents_end(fresh_engine: Engine) -> None:
    engine = fresh_engine
    path = engine.ok("POST", "/volumes/create", {"Name": "temporary", "DriverOpts": TMPFS})["Mountpoint"]
    container = engine.running("sleep", "1000", host={"Binds": ["temporary:/v"]})
    engine.execute(container, "touch", "/v/file")
    agent = engine.agent_pid
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: engine.answers() and engine.agent_pid != agent, "the next agent")
    assert mounted(engine, path) == 1
    assert run(engine, "ls /v", {"Binds": ["temporary:/v"]}) == "file\n"
    assert mounted(engine, path) == 1
    assert engine.call("DELETE", "/volumes/temporary")[0] == 409
    engine.ok("DELETE", f"/containers/{container}", force=1)
    assert mounted(engine, path) == 0
    engine.ok("DELETE", "/volumes/temporary")


def test_events(engine: Engine, name: Callable[[str], str]) -> None:
    volume = name("x")
    container = engine.create("true", host={"Binds": [f"{volume}:/v:ro"]})
    engine.ok("POST", f"/containers/{container}/start")
    engine.ok("POST", f"/containers/{container}/wait")
    engine.ok("DELETE", f"/containers/{container}")
    engine.ok("DELETE", f"/volumes/{volume}")
    raw = engine.ok("GET", "/events", since=1, until=int(time.time()) + 1, filters=json.dumps({"volume": [volume]}))
    rows = [raw] if isinstance(raw, dict) else [json.loads(line) for line in raw.splitlines()]
    assert [(row["Action"], row["Actor"]["Attributes"]) for row in rows] == [
        ("create", {"driver": "local"}),
        ("mount", {"container": container, "destination": "/v", "driver": "local", "propagation": "",
                   "read/write": "false"}),
        ("unmount", {"container": container, "driver": "local"}),
        ("destroy", {"driver": "local"}),
    ]  # fmt: skip


# -- parts -----------------------------------------------------------------------------------


def part(volume: str, subpath: str) -> dict[str, Any]:
    return mount("volume", "/part", volume, VolumeOptions={"Subpath": subpath})


def test_a_part_of_a_volume(engine: Engine, name: Callable[[str], str]) -> None:
    volume = name("x")
    run(engine, "mkdir -p /v/a/b; echo deep > /v/a/b/file; ln -s /etc /v/out", {"Binds": [f"{volume}:/v"]})
    assert run(engine, "cat /part/file", part(volume, "a/b")) == "deep\n"
    assert run(engine, "cat /part", part(volume, "a/b/file")) == "deep\n"
    for subpath, words in (("missing", "cannot access path"), ("out", "cannot access path")):
        container = engine.create("cat", "/part/passwd", host=part(volume, subpath))
        status, answer = engine.call("POST", f"/containers/{container}/start")
        assert (status, words in answer["message"]) == (404, True), answer


def test_an_image_is_mounted(engine: Engine, image: str) -> None:
    out = run(engine, "cat /i/seed/file; touch /i/y 2>/dev/null || echo :refused", mount("image", "/i", image))
    assert out == "seeded:refused\n"
    inner = mount("image", "/i", image, ImageOptions={"Subpath": "seed/deep"})
    assert run(engine, "ls /i", inner) == "inner\n"
    container = engine.create("ls", "/i", host=mount("image", "/i", image, ImageOptions={"Subpath": "sub/out"}))
    (point,) = engine.ok("GET", f"/containers/{container}/json")["Mounts"]
    assert (point["Type"], point["Name"], point["RW"]) == ("image", image, False)
    engine.ok("POST", f"/containers/{container}/start")
    engine.ok("POST", f"/containers/{container}/wait")
    assert "passwd" in engine.output(container), "an absolute symlink leads to the image's own /etc"
    engine.ok("DELETE", f"/containers/{container}")


# -- binds -----------------------------------------------------------------------------------


def test_a_source_that_is_not_there(engine: Engine, tmp_path: Path) -> None:
    assert run(engine, "ls -A /x", {"Binds": [f"{tmp_path}/made:/x"]}) == ""
    assert (tmp_path / "made").is_dir()
    body = {"Image": "atoll/base", "HostConfig": mount("bind", "/x", f"{tmp_path}/not")}
    status, answer = engine.call("POST", "/containers/create", body)
    words = f'invalid mount config for type "bind": bind source path does not exist: {tmp_path}/not'
    assert (status, answer["message"]) == (400, words)
    assert not (tmp_path / "not").exists()
    run(engine, "true", mount("bind", "/x", f"{tmp_path}/wanted", BindOptions={"CreateMountpoint": True}))
    assert (tmp_path / "wanted").is_dir()


def test_a_file_over_a_file_and_over_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    binds = [f"{tmp_path}/file:/etc/passwd:ro", f"{tmp_path}/file:/new/place"]
    assert run(engine, "cat /etc/passwd /new/place", {"Binds": binds}) == "minemine"


def test_nested_mounts_and_a_read_only_root(engine: Engine, name: Callable[[str], str], tmp_path: Path) -> None:
    host = {
        "ReadonlyRootfs": True,
        "Binds": [f"{name('a')}:/x/y/z", f"{tmp_path}:/x"],
        "Tmpfs": {"/x/y": "size=1m", "/tmp": ""},
    }
    script = "touch /x/1 /x/y/2 /x/y/z/3 /tmp/4; touch /5 || true; touch /etc/hosts || echo refused"
    assert "refused" in run(engine, script, host)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "y"}


@pytest.mark.parametrize(
    ("options", "read_only", "seen", "writable"),
    [
        ({}, False, True, True),
        ({}, True, True, False),
        ({"ReadOnlyNonRecursive": True}, True, True, True),
        ({"ReadOnlyForceRecursive": True}, True, True, False),
        ({"NonRecursive": True}, False, False, True),
    ],
)
def test_mounts_below_a_bind(
    fresh_engine: Engine, tmp_path_factory: pytest.TempPathFactory, options: Any, read_only: bool, seen: bool,
    writable: bool,
) -> None:  # fmt: skip
    container = fresh_engine.running("sleep", "1000")
    place = tmp_path_factory.mktemp("tree")
    (place / "sub").mkdir()
    pid = fresh_engine.supervisor_pid
    assert os.system(f"nsenter -t {pid} -m mount -t tmpfs below {place}/sub") == 0
    assert os.system(f"nsenter -t {pid} -m touch {place}/sub/below") == 0
    fresh_engine.ok("DELETE", f"/containers/{container}", force=1)
    host = mount("bind", "/x", str(place), ReadOnly=read_only, BindOptions=options)
    out = run(fresh_engine, "ls /x/sub; touch /x/sub/y 2>/dev/null && echo written; true", host)
    assert (("below" in out), ("written" in out)) == (seen, writable)


def test_what_is_not_shared_cannot_be(engine: Engine, tmp_path: Path) -> None:
    container = engine.create("true", host={"Binds": [f"{tmp_path}:/x:rshared"]})
    status, answer = engine.call("POST", f"/containers/{container}/start")
    assert (status, "but it is not a shared mount" in answer["message"]) == (500, True)
    engine.ok("DELETE", f"/containers/{container}")


@pytest.mark.parametrize(
    ("kind", "arrives", "returns"),
    [
        ("rshared", True, True), ("shared", True, True), ("rslave", True, False), ("slave", True, False),
        ("rprivate", False, False), ("private", False, False),
    ],
)  # fmt: skip
def test_propagation(
    fresh_engine: Engine, tmp_path_factory: pytest.TempPathFactory, kind: str, arrives: bool, returns: bool
) -> None:
    place = tmp_path_factory.mktemp("tree")
    enter = f"nsenter -t {fresh_engine.supervisor_pid} -m"
    assert os.system(f"{enter} sh -c 'mount -t tmpfs top {place} && mount --make-shared {place}'") == 0
    assert os.system(f"{enter} mkdir {place}/in {place}/out") == 0
    host = {"Binds": [f"{place}:/x:{kind}"], "CapAdd": ["SYS_ADMIN"], "SecurityOpt": ["seccomp=unconfined"]}
    container = fresh_engine.running("sleep", "1000", host=host)
    assert os.system(f"{enter} mount -t tmpfs later {place}/in") == 0
    assert os.system(f"{enter} touch {place}/in/later") == 0
    assert ("later" in fresh_engine.execute(container, "ls", "/x/in")[1]) == arrives
    code, out = fresh_engine.execute(container, "mount", "-t", "tmpfs", "inner", "/x/out", Privileged=True)
    assert code == 0, out
    assert (f"{place}/out" in Path(f"/proc/{fresh_engine.supervisor_pid}/mountinfo").read_text()) == returns


# -- over the API ----------------------------------------------------------------------------


def test_prune_and_usage_by_version(engine: Engine, name: Callable[[str], str]) -> None:
    named, label = name("kept"), "prune-by-version"
    engine.ok("POST", "/volumes/create", {"Name": named, "Labels": {label: "1"}})
    anonymous = engine.ok("POST", "/volumes/create", {"Labels": {label: "1"}})["Name"]
    filters = json.dumps({"label": [label]})
    assert engine.ok("POST", "/v1.47/volumes/prune", filters=filters) == {
        "VolumesDeleted": [anonymous], "SpaceReclaimed": 0,
    }  # fmt: skip
    assert engine.ok("POST", "/v1.41/volumes/prune", filters=filters)["VolumesDeleted"] == [named]
    assert engine.call("PUT", "/v1.47/volumes/x", {})[0] == 503
