"""Files of containers: copied in and out, exported, compared; running and stopped, and with volumes."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import socket
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Engine, _Connection, wait_for

NS = 1_000_000_000


@pytest.fixture
def made(engine: Engine) -> Iterator[list[str]]:
    containers: list[str] = []
    yield containers
    for container in containers:
        engine.call("DELETE", f"/containers/{container}", force=1, v=1)


def pack(*members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in members:
            entry = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo(name)
            content = b"" if isinstance(what, tarfile.TarInfo) else what
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def read(engine: Engine, container: str, path: str) -> dict[str, tarfile.TarInfo]:
    data = engine.ok("GET", f"/containers/{container}/archive", path=path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name: entry for entry in archive}


def content(engine: Engine, container: str, path: str) -> bytes:
    data = engine.ok("GET", f"/containers/{container}/archive", path=path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(next(iter(archive)))
        assert file
        return file.read()


def status_of(engine: Engine, container: str, path: str) -> tuple[int, dict[str, Any]]:
    connection = _Connection(engine.socket)
    try:
        connection.request("HEAD", f"/containers/{container}/archive?path={path}")
        answer = connection.getresponse()
        answer.read()
        header = answer.headers.get("X-Docker-Container-Path-Stat")
        return answer.status, json.loads(base64.b64decode(header)) if header else {}
    finally:
        connection.close()


def put(engine: Engine, container: str, path: str, data: bytes, **query: Any) -> tuple[int, Any]:
    return engine.call("PUT", f"/containers/{container}/archive", data, path=path, **query)


@pytest.fixture(params=["running", "stopped", "created"])
def container(request: pytest.FixtureRequest, engine: Engine, made: list[str], tmp_path: Path) -> str:
    """A container in each of its states, with a bind at /bind and a volume at /volume."""
    (tmp_path / "bind").mkdir()
    (tmp_path / "bind/inside").write_text("bound")
    host = {"Binds": [f"{tmp_path}/bind:/bind", f"{tmp_path}/bind:/ro:ro"]}
    made.append(engine.create("sleep", "1000", host=host, Volumes={"/volume": {}}))
    if request.param != "created":
        engine.ok("POST", f"/containers/{made[0]}/start")
        engine.execute(
            made[0], "sh", "-c", "mkdir -p /place/deep; echo one > /place/file; ln -s /place/deep /place/link"
        )
    if request.param == "stopped":
        engine.ok("POST", f"/containers/{made[0]}/kill")
        engine.ok("POST", f"/containers/{made[0]}/wait")
    return made[0]


def test_in_and_out(engine: Engine, container: str) -> None:
    assert put(engine, container, "/tmp", pack(("a", b"1"), ("b/c", b"22")))[0] == 200
    assert content(engine, container, "/tmp/a") == b"1"
    assert set(read(engine, container, "/tmp/b")) == {"b", "b/c"}
    assert set(read(engine, container, "/tmp/b/.")) == {".", "./c"}
    status, found = status_of(engine, container, "/tmp/b/c")
    assert (status, found["name"], found["size"], found["mode"], found["linkTarget"]) == (200, "c", 2, 0o644, "")


def test_volumes_and_binds_are_seen(engine: Engine, container: str, tmp_path: Path) -> None:
    assert content(engine, container, "/bind/inside") == b"bound"
    assert put(engine, container, "/bind", pack(("new", b"from outside")))[0] == 200
    assert (tmp_path / "bind/new").read_bytes() == b"from outside"
    assert put(engine, container, "/volume", pack(("new", b"2")))[0] == 200
    assert content(engine, container, "/volume/new") == b"2"
    assert put(engine, container, "/", pack(("bind/third", b"3")))[0] == 200
    assert (tmp_path / "bind/third").read_bytes() == b"3"
    for path in ("/ro", "/"):
        status, answer = put(engine, container, path, pack(("ro/new", b"1"), ("new", b"1")))
        assert (status, answer["message"]) == (403, "mounted volume is marked read-only")
    assert not (tmp_path / "bind/ro").exists()


def test_what_is_not_there(engine: Engine, container: str) -> None:
    assert status_of(engine, container, "/nothing")[0] == 404
    for method, data in (("GET", None), ("PUT", pack(("x", b"")))):
        status, answer = engine.call(method, f"/containers/{container}/archive", data, path="/nothing")
        assert (status, answer["message"]) == (404, f"Could not find the file /nothing in container {container}")
    status, answer = put(engine, container, "/bin/busybox", pack(("x", b"")))
    assert (status, answer["message"]) == (400, "extraction point is not a directory")
    assert status_of(engine, container, "/bin/busybox/x")[0] == 400
    assert engine.call("GET", f"/containers/{container}/archive")[0] == 400
    assert put(engine, container, "/tmp", b"no archive at all" * 100)[0] == 400
    assert put(engine, container, "/tmp", b"")[0] == 200


def test_the_world_is_the_containers(engine: Engine, container: str, tmp_path: Path) -> None:
    """Symlinks lead to where they lead inside; neither /proc nor the engine's own files are there."""
    canary = tmp_path / "canary"
    canary.mkdir()
    links = []
    for name, target in (("up", "../../../../../.."), ("abs", str(tmp_path)), ("proc", "/proc/self/root")):
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, target
        links.append((name, link))
    assert put(engine, container, "/tmp", pack(*links))[0] == 200
    assert content(engine, container, "/tmp/up/bin/busybox")[:4] == b"\x7fELF"
    assert status_of(engine, container, "/tmp/abs/canary")[0] == 404
    assert status_of(engine, container, "/tmp/proc/etc")[0] == 404
    assert read(engine, container, "/proc").keys() == {"proc"}
    status, answer = put(engine, container, "/tmp", pack(("abs/canary/x", b"1")))
    assert (status, "leads nowhere" in answer["message"]) == (400, True)
    assert put(engine, container, "/", pack((f"{tmp_path}/canary/y", b"1")))[0] == 200
    assert put(engine, container, "/tmp", pack(("abs/canary/x", b"1"), ("up/fell-in", b"1")))[0] == 200
    assert list(canary.iterdir()) == []
    assert not Path("/fell-in").exists()
    assert content(engine, container, "/fell-in") == b"1"
    assert content(engine, container, f"{tmp_path}/canary/x") == b"1"


def test_links_are_described(engine: Engine, container: str) -> None:
    link, broken = tarfile.TarInfo("l"), tarfile.TarInfo("b")
    link.type, link.linkname = tarfile.SYMTYPE, "../bin"
    broken.type, broken.linkname = tarfile.SYMTYPE, "nowhere/x"
    assert put(engine, container, "/tmp", pack(("l", link), ("b", broken)))[0] == 200
    resolved = engine.ok("GET", f"/containers/{container}/archive", path="/tmp/l")
    with tarfile.open(fileobj=io.BytesIO(resolved)) as archive:
        assert [(e.name, e.issym(), e.linkname) for e in archive] == [("l", True, "../bin")]
    _, found = status_of(engine, container, "/tmp/l")
    assert found["linkTarget"] in ("/bin", "/usr/bin")
    assert found["mode"] & 1 << 27
    assert status_of(engine, container, "/tmp/b")[1]["linkTarget"] == "/tmp/nowhere/x"
    assert status_of(engine, container, "/tmp/l/")[1]["mode"] & 1 << 31
    assert status_of(engine, container, "/")[1]["name"] == "/"


def test_attributes_travel(engine: Engine, container: str, tmp_path: Path) -> None:
    file = tarfile.TarInfo("file")
    file.uid, file.gid, file.mode, file.mtime = 1234, 70000, 0o4751, 5
    file.pax_headers = {"mtime": "1700000000.123456789", "SCHILY.xattr.user.note": "kept"}
    node, fifo, hard = tarfile.TarInfo("null"), tarfile.TarInfo("pipe"), tarfile.TarInfo("hard")
    node.type, node.devmajor, node.devminor = tarfile.CHRTYPE, 1, 3
    fifo.type = tarfile.FIFOTYPE
    hard.type, hard.linkname = tarfile.LNKTYPE, "file"
    long = "n" * 200 + "/" + "\u00fc" * 60
    data = pack(("file", file), ("hard", hard), ("null", node), ("pipe", fifo), (long, b"x"))
    assert put(engine, container, "/tmp", data)[0] == 200
    found = read(engine, container, "/tmp")
    got = found["tmp/file"]
    assert (got.uid, got.gid, got.mode) == (1234, 70000, 0o4751)
    assert got.pax_headers["mtime"] == "1700000000.123456789"
    assert got.pax_headers["SCHILY.xattr.user.note"] == "kept"
    assert found["tmp/hard"].islnk() and found["tmp/hard"].linkname == "tmp/file"
    assert (found["tmp/null"].ischr(), found["tmp/null"].devmajor, found["tmp/null"].devminor) == (True, 1, 3)
    assert found["tmp/pipe"].isfifo()
    assert f"tmp/{long}" in found


def test_holes_stay_holes(engine: Engine, container: str, tmp_path: Path) -> None:
    data = pack(("sparse", bytes(8 << 20) + b"end"))
    assert put(engine, container, "/bind", data)[0] == 200
    status = (tmp_path / "bind/sparse").stat()
    assert (status.st_size, status.st_blocks * 512 < 1 << 20) == ((8 << 20) + 3, True)
    assert content(engine, container, "/bind/sparse") == bytes(8 << 20) + b"end"


def test_kinds_can_be_kept(engine: Engine, container: str) -> None:
    directory = tarfile.TarInfo("file")
    directory.type = tarfile.DIRTYPE
    assert put(engine, container, "/tmp", pack(("file", b"1"), ("d/x", b"1")))[0] == 200
    status, answer = put(engine, container, "/tmp", pack(("d", b"1")), noOverwriteDirNonDir=1)
    assert (status, answer["message"]) == (400, 'cannot overwrite directory "/tmp/d" with non-directory "/tmp"')
    status, answer = put(engine, container, "/tmp", pack(("file", directory)), noOverwriteDirNonDir="true")
    assert (status, answer["message"]) == (400, 'cannot overwrite non-directory "/tmp/file" with directory "/tmp"')
    assert put(engine, container, "/tmp", pack(("d", b"1"), ("file", directory)))[0] == 200
    assert content(engine, container, "/tmp/d") == b"1"


def test_compressed_uploads(engine: Engine, container: str) -> None:
    for number, compress in enumerate((gzip.compress, lzma.compress, bz2.compress)):
        assert put(engine, container, "/tmp", compress(pack((f"c{number}", b"1"))))[0] == 200
        assert content(engine, container, f"/tmp/c{number}") == b"1"


def test_the_owner_may_be_the_containers_user(engine: Engine, made: list[str]) -> None:
    made.append(engine.create("true", User="1000:1001"))
    assert put(engine, made[0], "/tmp", pack(("x", b"1")), copyUIDGID="true")[0] == 200
    found = read(engine, made[0], "/tmp/x")["x"]
    assert (found.uid, found.gid) == (1000, 1001)


@pytest.mark.parametrize("running", [True, False])
def test_a_read_only_root(engine: Engine, made: list[str], running: bool) -> None:
    made.append(engine.create("sleep", "1000", host={"ReadonlyRootfs": True}, Volumes={"/data": {}}))
    if running:
        engine.ok("POST", f"/containers/{made[0]}/start")
    status, answer = put(engine, made[0], "/", pack(("x", b"1")))
    assert (status, answer["message"]) == (403, "container rootfs is marked read-only")
    assert put(engine, made[0], "/data", pack(("x", b"1")))[0] == 200
    assert content(engine, made[0], "/data/x") == b"1"


def test_the_engines_namespace_has_no_new_mounts(engine: Engine, container: str, tmp_path: Path) -> None:
    def mounts() -> list[str]:  # of ours; others may mount meanwhile
        lines = Path(f"/proc/{engine.agent_pid}/mountinfo").read_text().splitlines()
        return [line for line in lines if str(engine.directory) in line or str(tmp_path) in line]

    before = mounts()
    descriptors = len(os.listdir(f"/proc/{engine.agent_pid}/fd"))
    for _ in range(5):
        put(engine, container, "/tmp", pack(("x", b"1")))
        read(engine, container, "/tmp")
        engine.ok("GET", f"/containers/{container}/export")
        engine.ok("GET", f"/containers/{container}/changes")
        status_of(engine, container, "/nothing")
    assert mounts() == before
    assert len(os.listdir(f"/proc/{engine.agent_pid}/fd")) <= descriptors + 4


def test_export(engine: Engine, container: str) -> None:
    put(engine, container, "/tmp", pack(("exported", b"1")))
    put(engine, container, "/volume", pack(("not", b"1")))
    with tarfile.open(fileobj=io.BytesIO(engine.ok("GET", f"/containers/{container}/export"))) as archive:
        names = {entry.name: entry for entry in archive}
    assert {"tmp/exported", "usr/bin/busybox", "proc", "etc/passwd"} <= set(names)
    assert "volume/not" not in names
    assert "bind/inside" not in names


def test_changes(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000"))
    assert engine.ok("GET", f"/containers/{made[0]}/changes") is None
    script = (
        "touch -r /etc/passwd /tmp/time; echo a >> /etc/group; mkdir -p /new/deep; echo 1 > /new/deep/file;"
        "rm /etc/passwd; rm -r /root; mkdir /root; chmod 700 /root; cp -a /bin/busybox /tmp/; rm -f /tmp/time"
    )
    assert engine.execute(made[0], "sh", "-c", script) == (0, "")
    found = {row["Path"]: row["Kind"] for row in engine.ok("GET", f"/containers/{made[0]}/changes")}
    assert found["/etc"] == 0 and found["/etc/group"] == 0
    assert found["/etc/passwd"] == 2
    assert (found["/new"], found["/new/deep"], found["/new/deep/file"]) == (1, 1, 1)
    assert found["/tmp/busybox"] == 1
    assert not {"/etc/hosts", "/proc", "/sys", "/dev"} & set(found)
    paths = [row["Path"] for row in engine.ok("GET", f"/containers/{made[0]}/changes")]
    assert paths == sorted(paths, key=lambda path: path.split("/"))


def test_a_container_that_left_its_root_is_still_seen_whole(engine: Engine, made: list[str]) -> None:
    """Its first process has made another directory its root; for Docker that changes nothing."""
    script = (
        "mkdir -p /jail/bin && cp -a /usr /jail/ && ln -s usr/bin /jail/xbin && exec chroot /jail /usr/bin/sleep 1000"
    )
    made.append(engine.running("sh", "-c", script))
    pid = engine.ok("GET", f"/containers/{made[0]}/json")["State"]["Pid"]
    wait_for(lambda: Path(f"/proc/{pid}/root/xbin").is_symlink(), "the container to change its root")
    assert content(engine, made[0], "/jail/usr/bin/busybox")[:4] == b"\x7fELF"


def test_times_keep_their_nanoseconds_both_ways(engine: Engine, container: str, tmp_path: Path) -> None:
    (tmp_path / "bind/timed").write_text("1")
    os.utime(tmp_path / "bind/timed", ns=(NS + 1, 123 * NS + 987654321))
    assert read(engine, container, "/bind/timed")["timed"].pax_headers["mtime"] == "123.987654321"
    assert status_of(engine, container, "/bind/timed")[1]["mtime"].endswith(".987654321Z")
    assert stat.S_IMODE(os.stat(tmp_path / "bind/timed").st_mode) == 0o644


def begin(engine: Engine, head: str, body: bytes = b"") -> socket.socket:
    """A request whose client then does nothing more."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(str(engine.socket))
    sock.sendall(f"{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 20 if body else 0}\r\n\r\n".encode() + body)
    return sock


def test_slow_clients_block_nobody(engine: Engine, made: list[str], tmp_path: Path) -> None:
    """One does not read an export, one does not go on with an upload; containers start and end meanwhile."""
    made += [engine.create("sleep", "1000"), engine.running("sleep", "1000")]
    half = pack(("upload", b"1" * 500_000))[:100_000]
    slow = [
        begin(engine, f"GET /containers/{made[0]}/export"),
        begin(engine, f"PUT /containers/{made[1]}/archive?path=/tmp", half),
    ]
    try:
        assert slow[0].recv(1)
        wait_for(lambda: status_of(engine, made[1], "/tmp/upload")[0] == 200, "the upload to begin")
        engine.ok("POST", f"/containers/{made[0]}/start")
        assert put(engine, made[0], "/tmp", pack(("x", b"1")))[0] == 200
        for container in made:
            engine.ok("POST", f"/containers/{container}/kill")
            engine.ok("POST", f"/containers/{container}/wait")
        assert engine.run("true")[0] == 0
        engine.ok("DELETE", f"/containers/{made.pop()}")
    finally:
        for sock in slow:
            sock.close()
    wait_for(lambda: put(engine, made[0], "/tmp", pack(("x", b"1")))[0] == 200, "the container to be free")
