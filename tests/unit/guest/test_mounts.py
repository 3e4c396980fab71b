"""What a container mounts, and the files the engine puts into its /etc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

if os.name != "posix":
    pytest.skip("paths of the machine", allow_module_level=True)

from atoll_agent.api.errors import AgentError
from atoll_agent.engine.etc_files import build_hosts, build_resolv_conf, write_etc_files
from atoll_agent.engine.events import Events
from atoll_agent.engine.mount_points import shown
from atoll_agent.engine.mounts import copies_up, is_anonymous, plan_asked, plan_points
from atoll_agent.engine.standard_mounts import plan_file, plan_standard, without_taken
from atoll_agent.engine.volumes import Volumes, check_propagation
from atoll_agent.images.store import ImageStore
from atoll_agent.linux.mountinfo import MountEntry
from atoll_agent.volumes.mounting import Mounting
from atoll_agent.volumes.store import VolumeStore


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    data = tmp_path / "data"
    return Volumes(VolumeStore(data), ImageStore(data), Events(), Mounting())


def points(volumes: Volumes, *binds: str, **host: Any) -> list[dict[str, Any]]:
    return plan_points({}, {"Binds": list(binds), **host}, volumes.maker("c1"))


def refused(volumes: Volumes, *binds: str, **host: Any) -> str:
    with pytest.raises(AgentError) as caught:
        points(volumes, *binds, **host)
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize(
    ("rest", "target", "writable", "propagation"),
    [
        ("/x", "/x", True, "rprivate"),
        ("/x:ro", "/x", False, "rprivate"),
        ("/x:rw", "/x", True, "rprivate"),
        ("/x:ro,rslave", "/x", False, "rslave"),
        ("/x:z,shared", "/x", True, "shared"),
        ("/x/", "/x", True, "rprivate"),
        ("/a/../b/./c", "/b/c", True, "rprivate"),
        ("//x", "/x", True, "rprivate"),
    ],
)
def test_bind(volumes: Volumes, tmp_path: Path, rest: str, target: str, writable: bool, propagation: str) -> None:
    (point,) = points(volumes, f"{tmp_path}:{rest}")
    assert (point["Type"], point["Source"]) == ("bind", str(tmp_path))
    assert (point["Destination"], point["RW"], point["Propagation"]) == (target, writable, propagation)


def test_a_bind_source_that_is_not_there_is_made_at_the_start(volumes: Volumes, tmp_path: Path) -> None:
    (point,) = points(volumes, f"{tmp_path}/new/deep:/x")
    assert not (tmp_path / "new").exists()
    assert point["Spec"]["BindOptions"] == {"CreateMountpoint": True}


def test_a_name_is_a_volume(volumes: Volumes) -> None:
    (point,) = points(volumes, "data:/x:ro")
    assert (point["Type"], point["Name"], point["Source"]) == ("volume", "data", str(volumes.store.path("data")))
    assert (point["RW"], point["Mode"], point["Destination"]) == (False, "ro", "/x")
    assert volumes.store.path("data").is_dir()


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        ("", "invalid volume specification"),
        (":/b", "invalid volume specification"),
        ("/a:", "invalid volume specification"),
        ("/a:/b:ro:x", "invalid volume specification"),
        ("/a:/b:bogus", "invalid mode: bogus"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:z,Z", "invalid mode: z,Z"),
        ("/a:/b:cached,delegated", "invalid mode: cached,delegated"),
        ("/a:/b:ro,", "invalid mode: ro,"),
        ("/a:/b:nocopy", 'invalid mount config for type "bind": field VolumeOptions must not be specified'),
        ("data:/b:rslave", 'invalid mount config for type "volume": field BindOptions must not be specified'),
        ("/a:/b:RO", "invalid mode: RO"),
        ("/tmp:relative", "mount path must be absolute"),
        ("/tmp:/", "destination can't be '/'"),
        ("/tmp://", "destination can't be '/'"),
        ("/tmp:/a/..", "destination can't be '/'"),
        ("/tmp:/proc", "inside /proc"),
        ("/tmp://proc", "inside /proc"),
        ("/tmp:/proc/sys", "inside /proc"),
        ("/tmp:/x/../proc/self", "inside /proc"),
        ("../up:/b", "invalid characters"),
        ("a/b:/b", "invalid characters"),
    ],
)
def test_bad_binds(volumes: Volumes, bind: str, words: str) -> None:
    assert words in refused(volumes, bind)


@pytest.mark.parametrize("second", ["/x", "/x/", "//x", "/y/../x"])
def test_one_target_twice(volumes: Volumes, second: str) -> None:
    assert refused(volumes, "one:/x", f"two:{second}") == "Duplicate mount point: /x"
    assert refused(volumes, "one:/x", Tmpfs={second: ""}) == "Duplicate mount point: /x"


def mount(**fields: Any) -> dict[str, Any]:
    return {"Mounts": [{"Target": "/x", **fields}]}


def test_mounts(volumes: Volumes, tmp_path: Path) -> None:
    asked = [
        {"Type": "bind", "Source": str(tmp_path), "Target": "/bind", "ReadOnly": True,
         "BindOptions": {"Propagation": "rshared"}},
        {"Type": "volume", "Source": "data", "Target": "/volume"},
        {"Type": "volume", "Target": "/anonymous"},
        {"Type": "tmpfs", "Target": "/tmpfs", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 0o1777}},
    ]  # fmt: skip
    bind, volume, anonymous, tmpfs = points(volumes, Mounts=asked)
    assert (bind["RW"], bind["Propagation"]) == (False, "rshared")
    assert (volume["Name"], volume["RW"]) == ("data", True)
    assert len(anonymous["Name"]) == 64
    assert (tmpfs["Type"], tmpfs["Mode"]) == ("tmpfs", "")
    assert plan_asked([tmpfs], {})[0]["options"] == ["mode=1777", "size=1024"]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (mount(), 'invalid mount config for type "": mount type unknown'),
        (mount(Type="npipe", Source="x"), 'invalid mount config for type "npipe": mount type unknown'),
        (mount(Type="cluster", Source="x"), 'invalid mount config for type "cluster": mount type unknown'),
        (mount(Type="bind"), 'invalid mount config for type "bind": field Source must not be empty'),
        (mount(Type="bind", Source="relative"), "invalid mount path: 'relative' mount path must be absolute"),
        (mount(Type="bind", Source="/does/not/exist"), "bind source path does not exist: /does/not/exist"),
        (mount(Type="bind", Source="/", VolumeOptions={}), "field VolumeOptions must not be specified"),
        (mount(Type="volume", BindOptions={}), "field BindOptions must not be specified"),
        (mount(Type="tmpfs", Source="x"), "field Source must not be specified"),
        (mount(Type="tmpfs", TmpfsOptions={"Options": [["uid", "1"]]}), "invalid option: uid"),
        (mount(Type="tmpfs", TmpfsOptions={"Options": [[]]}), "invalid option array length"),
        (mount(Type="volume", VolumeOptions={"Subpath": "x"}), "must not set Subpath when using anonymous volumes"),
        (mount(Type="volume", Source="data", VolumeOptions={"Subpath": "../x"}), "subpath must be a relative path"),
        (mount(Type="volume", Source="data", VolumeOptions={"Subpath": "/x"}), "subpath must be a relative path"),
        (mount(Type="volume", Source="data", VolumeOptions={"Subpath": 5}), "Subpath"),
        (mount(Type="volume", Source="data", VolumeOptions={"Labels": {"a": 5}}), "invalid Labels"),
        (
            mount(Type="volume", Source="data", VolumeOptions={"DriverConfig": {"Options": {"x": "y"}}}),
            "invalid option",
        ),
        (mount(Type="image"), "field Source must not be empty"),
        (mount(Type="bind", Source="/", BindOptions={"ReadOnlyForceRecursive": True}), "mount options conflict"),
        (mount(Type="bind", Source="/", BindOptions={"NonRecursive": 5}), "true or false"),
        ({"VolumesFrom": [""]}, "volumes-from specification cannot be an empty string"),
        ({"VolumesFrom": ["x:nocopy"]}, "invalid mode: nocopy"),
        ({"VolumesFrom": ["x:rslave"]}, "invalid mode: rslave"),
        (mount(Type="bind", Source="/", BindOptions={"Propagation": "bogus"}), "propagation"),
        (mount(Type="bind", Source="/", BindOptions={"Propagation": 5}), "propagation"),
        (mount(Type="bind", Source="/", BindOptions=[5]), "BindOptions"),
        (mount(Type="volume", Source="a/b"), "invalid characters"),
        (mount(Type="tmpfs", TmpfsOptions={"SizeBytes": "x"}), "TmpfsOptions"),
        (mount(Type="tmpfs", TmpfsOptions={"SizeBytes": -5}), "TmpfsOptions"),
        (mount(Type="tmpfs", TmpfsOptions={"Mode": "x"}), "TmpfsOptions"),
        (mount(Type="tmpfs", TmpfsOptions=5), "TmpfsOptions"),
        ({"Mounts": [{"Type": "tmpfs"}]}, "field Target must not be empty"),
        ({"Mounts": [{"Type": "tmpfs", "Target": "/proc"}]}, "inside /proc"),
        ({"Tmpfs": {"relative": ""}}, "must be absolute"),
        ({"Tmpfs": {"//proc/x": ""}}, "inside /proc"),
        ({"Tmpfs": {"/x": "bogus"}}, 'invalid tmpfs option ["bogus"]'),
    ],
)
def test_bad_mounts(volumes: Volumes, host: dict[str, Any], words: str) -> None:
    assert words in refused(volumes, **host)


def test_the_images_volumes_yield_to_the_users(volumes: Volumes) -> None:
    config = {"Volumes": {"/own": {}, "/taken/": {}, "/tmpfs": {}}}
    planned = plan_points(config, {"Binds": ["data:/taken"], "Tmpfs": {"/tmpfs/": ""}}, volumes.maker("c1"))
    assert [(p["Destination"], len(p["Name"])) for p in planned] == [("/taken", 4), ("/own", 64)]


def test_parents_are_mounted_before_children(volumes: Volumes) -> None:
    planned = plan_asked(points(volumes, "one:/x/y/z", "two:/x"), {"/x/y": ""})
    assert [m["target"] for m in planned] == ["/x", "/x/y", "/x/y/z"]
    assert planned[0] == {
        "kind": "bind", "source": str(volumes.store.path("two")), "subpath": "", "target": "/x", "flags": ["rec"],
        "options": [], "propagation": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "flags", "options"),
    [
        ("", ["nodev", "noexec", "nosuid"], []),
        ("size=64m,mode=1777", ["nodev", "noexec", "nosuid"], ["size=64m", "mode=1777"]),
        ("ro", ["nodev", "noexec", "nosuid", "ro"], []),
        ("rw,exec", ["nodev", "nosuid"], []),
        ("exec,suid,dev", [], []),
        ("noexec,nosuid", ["nodev", "noexec", "nosuid"], []),
    ],
)
def test_tmpfs(text: str, flags: list[str], options: list[str]) -> None:
    (planned,) = plan_asked([], {"/t": text})
    assert (planned["kind"], planned["flags"], planned["options"]) == ("tmpfs", flags, options)


def test_a_tmpfs_mount_is_read_only_when_asked() -> None:
    spec = {"TmpfsOptions": {"SizeBytes": 5}}
    point = {"Type": "tmpfs", "Destination": "/t", "Mode": "", "RW": False, "Propagation": "", "Spec": spec}
    (planned,) = plan_asked([point], {})
    assert (planned["flags"], planned["options"]) == (["nodev", "noexec", "nosuid", "ro"], ["size=5"])


def test_standard_mounts_are_the_golden_ones() -> None:
    assert [
        (m["kind"], m["target"], " ".join(m["flags"]), ",".join(m["options"])) for m in plan_standard({}, True, True)
    ] == [
        ("proc", "/proc", "nosuid nodev noexec", ""),
        ("tmpfs", "/dev", "nosuid strictatime", "mode=755,size=65536k"),
        ("devpts", "/dev/pts", "nosuid noexec", "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ("sysfs", "/sys", "nosuid nodev noexec ro", ""),
        ("cgroup2", "/sys/fs/cgroup", "nosuid nodev noexec ro", ""),
        ("mqueue", "/dev/mqueue", "nosuid nodev noexec", ""),
        ("tmpfs", "/dev/shm", "nosuid nodev noexec", "mode=1777,size=67108864"),
    ]
    privileged = plan_standard({"Privileged": True, "ShmSize": 5}, False, False)
    assert [m["flags"] for m in privileged if m["kind"] == "sysfs"] == [["nosuid", "nodev", "noexec"]]
    assert {m["kind"] for m in privileged} == {"proc", "tmpfs", "devpts", "sysfs"}
    assert privileged[-1]["options"] == ["mode=1777", "size=5"]


def test_what_inspect_shows(volumes: Volumes, tmp_path: Path) -> None:
    own, named = points(volumes, "/own", "data:/named:nocopy")
    assert shown(named) == {
        "Type": "volume", "Name": "data", "Source": str(volumes.store.path("data")), "Destination": "/named",
        "Driver": "local", "Mode": "nocopy", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert (own["Mode"], len(own["Name"])) == ("z", 64)
    assert [is_anonymous(point) for point in (own, named)] == [True, False]
    assert [copies_up(point) for point in (own, named)] == [True, False]
    assert volumes.store.holders("data") == ["c1"]


def test_volumes_of_another_container(volumes: Volumes, tmp_path: Path) -> None:
    theirs = points(volumes, f"{tmp_path}:/bind", "data:/data", Mounts=[{"Type": "tmpfs", "Target": "/t"}])
    host = {"VolumesFrom": ["donor:ro"], "Binds": ["mine:/bind"]}
    mine, data = plan_points({}, host, volumes.maker("c2"), lambda name: theirs)
    assert (mine["Name"], mine["RW"]) == ("mine", True)
    assert (data["Name"], data["RW"], data["Mode"], copies_up(data)) == ("data", False, "", False)
    assert volumes.store.holders("data") == ["c1", "c2"]


@pytest.mark.parametrize(
    ("options", "read_only", "flags"),
    [
        ({}, False, ["rec"]),
        ({}, True, ["rec", "rro"]),
        ({"NonRecursive": True}, True, ["rro"]),
        ({"ReadOnlyNonRecursive": True}, True, ["rec", "ro"]),
        ({"ReadOnlyForceRecursive": True}, True, ["rec", "rro"]),
    ],
)
def test_how_far_a_bind_goes(
    volumes: Volumes, tmp_path: Path, options: dict[str, bool], read_only: bool, flags: list[str]
) -> None:
    asked = mount(Type="bind", Source=str(tmp_path), ReadOnly=read_only, BindOptions=options)
    assert plan_asked(points(volumes, **asked), {})[0]["flags"] == flags


def test_a_tmpfs_lies_over_a_mount_of_its_place(volumes: Volumes) -> None:
    planned = plan_asked(points(volumes, **mount(Type="volume"), Tmpfs={"/x": ""}), {"/x": ""})
    assert [(m["kind"], m["target"]) for m in planned] == [("tmpfs", "/x")]


def test_files_of_proc_that_may_be_replaced(volumes: Volumes, tmp_path: Path) -> None:
    (uptime, proc) = points(volumes, f"{tmp_path}:/proc/uptime", "/proc:/proc")
    assert (uptime["Destination"], proc["Destination"]) == ("/proc/uptime", "/proc")


def test_under_a_dev_of_the_users_there_is_nothing_of_ours() -> None:
    left = without_taken(plan_standard({}, True, True), [plan_file("/dev", "/dev", read_only=False)])
    assert [m["target"] for m in left] == ["/proc", "/sys", "/sys/fs/cgroup"]


@pytest.mark.parametrize(
    ("kind", "optional", "words"),
    [
        ("rprivate", (), ""),
        ("shared", (), "path /s/x is mounted on /s but it is not a shared mount"),
        ("rslave", (), "path /s/x is mounted on /s but it is not a shared or slave mount"),
        ("rshared", ("master:1",), "it is not a shared mount"),
        ("slave", ("master:1",), ""),
        ("rshared", ("shared:4",), ""),
    ],
)
def test_what_can_be_shared(kind: str, optional: tuple[str, ...], words: str) -> None:
    table = [MountEntry("/", ("shared:1",), "ext4"), MountEntry("/s", optional, "ext4")]
    if not words:
        check_propagation("/s/x", kind, table)
        return
    with pytest.raises(AgentError, match=words):
        check_propagation("/s/x", kind, table)


# -- /etc ------------------------------------------------------------------------------------


def test_hosts() -> None:
    text = build_hosts("web", "", ["172.17.0.2"], ["db:10.0.0.1", "six:fe80::1", "me:host-gateway"], "10.0.2.2")
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    assert text.endswith("10.0.0.1\tdb\nfe80::1\tsix\n10.0.2.2\tme\n172.17.0.2\tweb\n")
    assert build_hosts("web", "example.org", ["1.2.3.4"], [], "").endswith("1.2.3.4\tweb.example.org web\n")
    assert "web" not in build_hosts("web", "", [], [], "")


MACHINE = "# note\nsearch lan\n\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.2.3\noptions edns0\n"


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ({}, "# note\nsearch lan\nnameserver 10.0.2.3\noptions edns0\n"),
        ({"Dns": ["1.1.1.1", "8.8.8.8"]},
         "# note\nsearch lan\noptions edns0\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n"),
        ({"DnsSearch": ["a", "b"], "DnsOptions": ["ndots:2"]},
         "# note\nnameserver 10.0.2.3\nsearch a b\noptions ndots:2\n"),
    ],
)  # fmt: skip
def test_resolv_conf(host: dict[str, Any], text: str) -> None:
    assert build_resolv_conf(host, MACHINE) == text


def test_with_a_resolver_of_ours_the_others_are_its_to_ask() -> None:
    assert build_resolv_conf({"Dns": ["1.1.1.1"]}, MACHINE, "127.0.0.11") == (
        "nameserver 127.0.0.11\n# note\nsearch lan\noptions edns0\noptions ndots:0\n"
    )


def test_etc_files_are_written_and_mounted(tmp_path: Path) -> None:
    mounts = write_etc_files(tmp_path, {"Hostname": "web"}, {}, ["172.17.0.2"])
    assert [(m["target"], Path(m["source"]).parent) for m in mounts] == [
        ("/etc/hostname", tmp_path), ("/etc/hosts", tmp_path), ("/etc/resolv.conf", tmp_path),
    ]  # fmt: skip
    assert (tmp_path / "hostname").read_text() == "web\n"
    assert "172.17.0.2\tweb\n" in (tmp_path / "hosts").read_text()
