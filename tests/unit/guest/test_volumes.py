"""Volumes on disk, their options and the mounts these mean, and filling them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

if os.name != "posix":
    pytest.skip("paths of the machine", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.engine.events import Events
from atoll_agent.engine.nouns.volumes import VolumeNoun
from atoll_agent.engine.volumes import Volumes
from atoll_agent.images.store import ImageStore
from atoll_agent.linux.mountinfo import mount_of, parse_mountinfo
from atoll_agent.linux.trees import tree_size
from atoll_agent.volumes.mounting import Mounting
from atoll_agent.volumes.options import VolumeMount, check_options, describe_mount, needs_mount, plan_mount
from atoll_agent.volumes.populate import copy_tree, empty, is_empty
from atoll_agent.volumes.store import VolumeStore


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return VolumeStore(tmp_path)


# -- on disk ---------------------------------------------------------------------------------


def test_a_volume_is_made_once(store: VolumeStore, tmp_path: Path) -> None:
    made, new = store.ensure("data", {"a": "b"}, {"type": "tmpfs", "device": "tmpfs"})
    assert new
    assert made.describe() == {
        "CreatedAt": made.created, "Driver": "local", "Labels": {"a": "b"}, "Name": "data", "Scope": "local",
        "Mountpoint": str(tmp_path / "volumes/data/_data"), "Options": {"type": "tmpfs", "device": "tmpfs"},
    }  # fmt: skip
    (store.path("data") / "file").write_text("1")
    assert store.ensure("data", {"other": "labels"}) == (made, False)
    assert store.get("data") == VolumeStore(tmp_path).get("data") == made
    assert (store.path("data") / "file").read_text() == "1"


def test_volumes_by_name(store: VolumeStore) -> None:
    for name in ("beta", "alpha", "x" * 255):
        store.ensure(name)
    assert [volume.name for volume in store.all()] == ["alpha", "beta", "x" * 255]
    assert store.get("alpha").labels is None
    anonymous, _ = store.ensure("")
    assert (len(anonymous.name), anonymous.anonymous) == (64, True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", "too short"), (".", "too short"), ("x" * 256, "too long"), ("..", "invalid characters"),
        (".hidden", "invalid characters"), ("-a", "invalid characters"), ("a/b", "invalid characters"),
        ("../x", "invalid characters"), ("a\0", "invalid characters"), ("a b", "invalid characters"),
        ("ää", "invalid characters"), ("ab\n", "invalid characters"),
    ],
)  # fmt: skip
def test_names_no_volume_may_have(store: VolumeStore, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        store.ensure(name)
    assert caught.value.status == 400
    with pytest.raises(AgentError, match="no such volume") as caught:
        store.get(name)
    assert caught.value.status == 404
    assert list((tmp_path / "volumes").iterdir()) == []


def test_who_uses_a_volume_keeps_it(store: VolumeStore, tmp_path: Path) -> None:
    store.ensure("data", holder="c2")
    store.ensure("data", holder="c1")
    with pytest.raises(AgentError, match=r"remove data: volume is in use - \[c1, c2\]") as caught:
        store.remove("data")
    assert caught.value.status == 409
    store.release("c1")
    assert store.holders("data") == ["c2"]
    store.release("c2")
    store.remove("data")
    with pytest.raises(AgentError) as caught:
        store.remove("data")
    assert caught.value.status == 404
    assert list((tmp_path / "volumes").iterdir()) == []


@pytest.mark.parametrize("leftover", [".removing-0", ".making-0"])
def test_what_a_crash_cut_short_is_gone(store: VolumeStore, tmp_path: Path, leftover: str) -> None:
    store.ensure("data")
    (tmp_path / "volumes/data").rename(tmp_path / "volumes" / leftover)
    again = VolumeStore(tmp_path)
    assert again.all() == []
    again.ensure("data")
    again.remove("data")
    assert list((tmp_path / "volumes").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"labels": 5, "created": ""}', '{"options": {"a": 5}, "created": ""}']
)
def test_a_volume_whose_record_is_damaged_keeps_its_data(
    store: VolumeStore, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.ensure("data", {"a": "b"})
    store.ensure("other")
    (store.path("data") / "file").write_text("1")
    (tmp_path / "volumes/data/volume.json").write_text(text)
    again = VolumeStore(tmp_path)
    assert "record of volume data cannot be read" in caplog.text
    assert [volume.name for volume in again.all()] == ["data", "other"]
    assert (again.get("data").labels, again.get("other").labels) == (None, None)
    assert (tmp_path / "volumes/data/volume.json.broken").read_text() == text
    assert json.dumps(VolumeStore(tmp_path).get("data").describe())
    assert (again.path("data") / "file").read_text() == "1"


def test_a_copy_that_a_crash_cut_short_is_undone(store: VolumeStore, tmp_path: Path) -> None:
    volume, _ = store.ensure("data")
    with store.filling(volume):
        (volume.path / "half").mkdir()
        (volume.path / "half/file").write_text("1")
        (volume.path / "link").symlink_to("/etc")
        again = VolumeStore(tmp_path)
        assert list(again.path("data").iterdir()) == []
        (volume.path.parent / "copying").touch()
    with pytest.raises(OSError), store.filling(volume):
        raise OSError
    (volume.path / "file").write_text("1")
    assert len(list(VolumeStore(tmp_path).path("data").iterdir())) == 1


def test_a_size_counts_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_bytes(b"x" * 1000)
    os.link(tmp_path / "deep/file", tmp_path / "again")
    (tmp_path / "link").symlink_to("12345")
    assert tree_size(tmp_path) == 1005


# -- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bogus": "x"}, 'invalid option: "bogus"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "/dev/x"}, 'missing required option: "type"'),
        ({"o": "ro"}, 'missing required option: "device"'),
        ({"size": "1m"}, "quota size requested but no quota support"),
        ({"type": "cifs", "device": "//host:445/x"}, "port not allowed in CIFS device URL"),
        ({"type": "none", "device": "a\0b"}, "NUL"),
    ],
)
def test_bad_options(options: dict[str, str], words: str) -> None:
    with pytest.raises(AgentError, match=words) as caught:
        check_options(options)
    assert caught.value.status == 400


ADDRESSES = {"files": "10.1.2.3", "six": "fd00::1"}


@pytest.mark.parametrize(
    ("options", "mount"),
    [
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"},
         VolumeMount("tmpfs", "tmpfs", (), (("size", "1m"), ("uid", "1000")))),
        ({"type": "tmpfs", "device": "tmpfs", "o": "ro,noexec,rw,defaults"},
         VolumeMount("tmpfs", "tmpfs", ("ro", "noexec"), (("ro", None),))),
        ({"type": "none", "device": "/srv", "o": "bind"}, VolumeMount("", "/srv")),
        ({"type": "none", "device": "/srv", "o": "rbind,ro,rslave"},
         VolumeMount("", "/srv", ("ro",), recursive=True, propagation="rslave")),
        ({"type": "nfs", "device": ":/export", "o": "addr=files,rw,nfsvers=4,soft"},
         VolumeMount("nfs", ":/export", (), (("addr", "10.1.2.3"), ("nfsvers", "4"), ("soft", None)))),
        ({"type": "nfs4", "device": ":/export", "o": "addr=six"},
         VolumeMount("nfs4", ":/export", (), (("addr", "fd00::1"),))),
        ({"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1"},
         VolumeMount("nfs", ":/export", (), (("addr", "192.0.2.1"),))),
        ({"type": "cifs", "device": "//files/share", "o": "username=u,password=p"},
         VolumeMount("cifs", "//10.1.2.3/share", (), (("username", "u"), ("password", "p")))),
        ({"type": "cifs", "device": "//files/share", "o": "addr=files"},
         VolumeMount("cifs", "//files/share", (), (("addr", "10.1.2.3"),))),
        ({"type": "cifs", "device": "//192.0.2.1/a%20b"}, VolumeMount("cifs", "//192.0.2.1/a%20b")),
        ({"type": "btrfs", "device": "/dev/vdb", "o": "subvol=x,noatime"},
         VolumeMount("btrfs", "/dev/vdb", ("noatime",), (("subvol", "x"),))),
        ({"type": "tmpfs", "device": "addr=files", "o": "addr=files"},
         VolumeMount("tmpfs", "addr=files", (), (("addr", "files"),))),
    ],
)  # fmt: skip
def test_the_mount_that_options_mean(options: dict[str, str], mount: VolumeMount) -> None:
    check_options(options)
    assert needs_mount(options)
    assert plan_mount(options, ADDRESSES.__getitem__) == mount


def test_a_password_is_not_told() -> None:
    options = {"type": "cifs", "device": "//h/s", "o": "username=u,password=geheim,vers=3"}
    assert describe_mount(options, "/v") == "mount //h/s:/v, data: username=u,password=********,vers=3"


def test_mountinfo() -> None:
    raw = (
        b"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        b"36 21 0:30 / /a\\040b rw - tmpfs none rw\n"
        b"40 21 0:31 / /a\\040b rw shared:7 master:2 - tmpfs none rw\n"
        b"torn"
    )
    table = parse_mountinfo(raw)
    assert [(e.point, e.kind, e.shared, e.slave) for e in table] == [
        ("/", "ext4", True, False), ("/a b", "tmpfs", False, False), ("/a b", "tmpfs", True, True),
    ]  # fmt: skip
    assert mount_of("/a b/c", table) == table[2]
    assert mount_of("/a bc", table) == table[0]


# -- filling ---------------------------------------------------------------------------------


def test_a_copy_is_the_same(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep/er").mkdir(parents=True)
    target.mkdir()
    (source / "file").write_bytes(b"x" * 3_000_000)
    (source / "file").chmod(0o4755)
    os.link(source / "file", source / "deep/again")
    (source / "empty").touch()
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "deep/fifo", 0o620)
    (source / "deep").chmod(0o1777)
    os.utime(source / "file", ns=(1, 2_000_000_003))
    os.utime(source / "deep", ns=(1, 5_000_000_007))
    source.chmod(0o751)
    os.utime(source, ns=(1, 7))
    root, made = (os.open(path, os.O_RDONLY) for path in (source, target))
    assert is_empty(made)
    copy_tree(root, made)
    assert not is_empty(made)

    def facts(top: Path) -> dict[str, Any]:
        found = {}
        for path in [top, *top.rglob("*")]:
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
            link = str(path.readlink()) if path.is_symlink() else None
            when = 0 if path.is_symlink() else status.st_mtime_ns
            found[str(path.relative_to(top))] = (status.st_mode, status.st_nlink, when, content, link)
        return found

    assert facts(target) == facts(source)
    assert (target / "file").samefile(target / "deep/again")
    empty(made)
    assert is_empty(made)
    os.close(root)
    os.close(made)


# -- the noun --------------------------------------------------------------------------------


@pytest.fixture
def noun(tmp_path: Path) -> VolumeNoun:
    volumes = Volumes(VolumeStore(tmp_path), ImageStore(tmp_path), Events(), Mounting())
    noun = VolumeNoun(volumes)
    noun.create({"Name": "web-data", "Labels": {"tier": "web"}})
    noun.create({"Name": "db-data", "Labels": {"tier": "db"}, "DriverOpts": {}})
    noun.create({"Name": "mounted", "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}})
    volumes.store.hold("web-data", "c1")
    return noun


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["db-data", "mounted", "web-data"]),
        ({"name": ["data"]}, ["db-data", "web-data"]),
        ({"name": ["^web", "mount"]}, ["mounted", "web-data"]),
        ({"name": ["("]}, []),
        ({"label": ["tier=web"]}, ["web-data"]),
        ({"label!": ["tier"]}, ["mounted"]),
        ({"driver": ["local"]}, ["db-data", "mounted", "web-data"]),
        ({"driver": ["nope"]}, []),
        ({"dangling": ["true"]}, ["db-data", "mounted"]),
        ({"dangling": ["0"]}, ["web-data"]),
    ],
)
def test_list_filters(noun: VolumeNoun, filters: dict[str, list[str]], names: list[str]) -> None:
    assert [row["Name"] for row in noun.rows(filters)] == names


@pytest.mark.parametrize("filters", [{"bogus": ["x"]}, {"dangling": ["x"]}, {"dangling": ["1", "0"]}])
def test_bad_filters(noun: VolumeNoun, filters: dict[str, list[str]]) -> None:
    with pytest.raises(AgentError) as caught:
        noun.rows(filters)
    assert caught.value.status == 400
    with pytest.raises(AgentError):
        noun.prune(filters)


def test_prune_takes_what_nobody_uses_and_nobody_named(noun: VolumeNoun) -> None:
    own = noun.create({})
    (Path(own["Mountpoint"]) / "file").write_bytes(b"12345")
    assert noun.prune({}) == {"VolumesDeleted": [own["Name"]], "SpaceReclaimed": 5}
    assert noun.prune({"all": ["true"], "label": ["tier=nope"]})["VolumesDeleted"] == []
    assert noun.prune({"all": ["true"]})["VolumesDeleted"] == ["db-data"]
    assert [row["Name"] for row in noun.rows({})] == ["mounted", "web-data"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Name": "x"}, 400, "create x: volume name is too short"),
        (
            {"Name": "xy", "Driver": "nope"},
            404,
            'error looking up volume plugin nope: plugin "nope" not found',
        ),
        ({"Name": "xy", "DriverOpts": {"o": "x"}}, 400, 'create xy: missing required option: "device"'),
        ({"Name": 5}, 400, "a string is expected"),
        ({"Name": "xy", "Labels": {"a": None}}, 400, "Labels"),
        ({"Name": "xy", "ClusterVolumeSpec": {"Group": "x"}}, 503, "swarm"),
    ],
)
def test_bad_requests(noun: VolumeNoun, body: dict[str, Any], status: int, words: str) -> None:
    with pytest.raises(AgentError) as caught:
        noun.create(body)
    assert (caught.value.status, words in caught.value.message) == (status, True), caught.value.message


def test_removing(noun: VolumeNoun) -> None:
    noun.remove("nope", force=True)
    with pytest.raises(AgentError, match="get nope: no such volume"):
        noun.remove("nope", force=False)
    with pytest.raises(AgentError, match=r"remove web-data: volume is in use - \[c1\]"):
        noun.remove("web-data", force=True)
    with pytest.raises(AgentError, match="swarm") as caught:
        noun.update("web-data")
    assert caught.value.status == 503


def test_a_volume_with_a_tree_deeper_than_a_path_may_be_can_be_removed(tmp_path: Path) -> None:
    store = VolumeStore(tmp_path)
    volume, _ = store.ensure("deep", None, None)
    current = os.open(volume.path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=current)
        following = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=current)
        os.close(current)
        current = following
    os.close(current)
    store.remove("deep")
    assert store.find("deep") is None
    assert not volume.path.parent.exists()
