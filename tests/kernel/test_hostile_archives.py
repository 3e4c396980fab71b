"""Archives written by an enemy, through every door that takes one: load, import, `docker cp`.

Each is refused or confined: a tree of the host's that they aim at stays as it is, in content, mode, owner, time and
number of links, and the engine answers on.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Engine

Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "", **more: object):  # type: ignore[no-untyped-def]
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, len(content)
    for key, value in more.items():
        setattr(entry, key, value)
    return entry, content


def directory(name: str, **more: object):  # type: ignore[no-untyped-def]
    return member(name, kind=tarfile.DIRTYPE, **{"mode": 0o755, **more})


def symlink(name: str, target: str):  # type: ignore[no-untyped-def]
    return member(name, kind=tarfile.SYMTYPE, target=target)


def hardlink(name: str, target: str):  # type: ignore[no-untyped-def]
    return member(name, kind=tarfile.LNKTYPE, target=target)


UP = "../" * 24
VECTORS: dict[str, Callable[[str], Members]] = {
    "up": lambda c: [member(f"{UP}{c}/x", b"1")],
    "absolute": lambda c: [member(f"{c}/x", b"1")],
    "up in the middle": lambda c: [member(f"a/../../{UP}{c}/x", b"1")],
    "symlink to the root": lambda c: [symlink("d", "/"), member(f"d/{c}/x", b"1")],
    "symlink up": lambda c: [symlink("d", UP), member(f"d/{c}/x", b"1")],
    "symlink up in steps": lambda c: [symlink("d", ".."), member("d/d/d/x", b"1"), member(f"d/{UP}{c}/x", b"1")],
    "symlink to the tree": lambda c: [symlink("d", c), member("d/x", b"1"), member("d/file", b"taken")],
    "symlink to a file": lambda c: [symlink("f", f"{c}/file"), member("f", b"taken", mode=0o777)],
    "magic link": lambda c: [symlink("d", "/proc/self/root"), member(f"d/{c}/x", b"1")],
    "magic link of a descriptor": lambda c: [symlink("d", "/proc/self/fd/3"), member("d/x", b"1")],
    "working directory": lambda c: [symlink("d", "/proc/self/cwd"), member(f"d/{c}/x", b"1")],
    "hard link up": lambda c: [hardlink("l", f"{UP}{c}/file"), member("l", b"taken")],
    "hard link": lambda c: [hardlink("l", f"{c}/file"), member("l", b"taken")],
    "hard link to a symlink": lambda c: [symlink("s", f"{c}/file"), hardlink("l", "s"), member("l", b"taken")],
    "hard link through a symlink": lambda c: [symlink("s", c), hardlink("l", "s/file"), member("l", b"taken")],
    "chain of hard links": lambda c: [
        symlink("s", f"{c}/file"), hardlink("a", "s"), hardlink("b", "a"), member("b", b"taken"),
    ],
    "directory on a symlink": lambda c: [symlink("d", c), directory("d", mode=0o777), member("d/x", b"1")],
    "symlink on a directory": lambda c: [directory("d"), member("d/y"), symlink("d", c), member("d/x", b"1")],
    "whiteout of dots": lambda c: [member(".wh..")],
    "whiteout up": lambda c: [member(f".wh.{UP}{c}/file")],
    "whiteout through a symlink": lambda c: [symlink("d", c), member("d/.wh.file")],
    "opaque root": lambda c: [member(".wh..wh..opq")],
    "opaque through a symlink": lambda c: [symlink("d", c), member("d/.wh..wh..opq")],
    "overlay's whiteout": lambda c: [member("w", kind=tarfile.CHRTYPE, devmajor=0, devminor=0)],
    "device": lambda c: [member("sda", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "socket": lambda c: [member("s", kind=b"s")],
    "setuid through a symlink": lambda c: [symlink("f", f"{c}/file"), member("f", mode=0o6777, uid=7, gid=7)],
    "attributes of overlay": lambda c: [
        directory("d", pax_headers={f"SCHILY.xattr.trusted.overlay.{key}": value for key, value in (
            ("opaque", "y"), ("redirect", c), ("metacopy", ""))}),
        directory("e", pax_headers={"SCHILY.xattr.user.overlay.opaque": "y"}),
        member("x", b"1", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": c}),
    ],
    "capabilities that are none": lambda c: [member("x", b"1", pax_headers={"SCHILY.xattr.security.capability": "x"})],
    "path in a record": lambda c: [member("x", b"1", pax_headers={"path": f"{UP}{c}/x"})],
    "target in a record": lambda c: [
        member("x", kind=tarfile.LNKTYPE, pax_headers={"linkpath": f"{c}/file"}), member("x", b"taken"),
    ],
    "owner out of range": lambda c: [member("x", b"1", uid=1 << 33)],
    "negative time": lambda c: [member("x", b"1", mtime=-5000000000)],
    "names twice": lambda c: [member("x", b"1"), member("x", b"22"), hardlink("y", "x"), member("x", b"3")],
    "no name": lambda c: [member("", b"1")],
    "the root itself": lambda c: [directory("."), directory("./"), directory("/")],
    "root is a file": lambda c: [member(".", b"1")],
    "root is a symlink": lambda c: [symlink(".", c), member("x", b"1")],
    "not text": lambda c: [member("\udcff\udcfe", b"1")],
    "long": lambda c: [member("/".join(["d" * 200] * 30), b"1")],
    "deep": lambda c: [member("d/" * 1500 + "x", b"1")],
    "loop": lambda c: [symlink("a", "b"), symlink("b", "a"), member("a/x", b"1")],
}  # fmt: skip


def pack(members: Members) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def broken(name: str) -> bytes:
    """Archives that no library would write."""
    entry = tarfile.TarInfo("x")
    if name == "negative size":
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        header[124:136] = b"\xff" * 11 + b"\xf0"
    elif name == "size of 2^63":
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        header[124:136] = b"\x80" + bytes(3) + b"\x80" + bytes(7)
    elif name == "endless name":
        entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    elif name == "endless record":
        entry.type, entry.size = tarfile.XHDTYPE, 1 << 33
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    elif name == "sparse beyond its size":
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        header[156:157], header[124:136] = b"S", b"%011o\0" % 8
        header[386:410], header[483:495] = b"%011o\0%011o\0" % (1 << 32, 8), b"%011o\0" % 16
    else:
        raise LookupError(name)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(10240)


BROKEN = ("negative size", "size of 2^63", "endless name", "endless record", "sparse beyond its size")


def snapshot(root: Path) -> list[tuple[object, ...]]:
    rows = []
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        rows.append(
            (str(path), status.st_ino, status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns, content)
        )
    return rows


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A tree of the host's that must not change."""
    root = tmp_path / "canary"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_text("untouched")
    (root / "sub/file").write_text("untouched")
    os.chmod(root / "file", 0o640)
    before = snapshot(root)
    outside = set(os.listdir("/"))
    yield root
    assert snapshot(root) == before
    assert set(os.listdir("/")) == outside


def through_load(engine: Engine, data: bytes) -> None:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]}}
    name = f"hostile/{secrets.token_hex(4)}:1"
    listed = [{"Config": "config", "RepoTags": [name], "Layers": ["layer"]}]
    files = {"config": json.dumps(config).encode(), "layer": data, "manifest.json": json.dumps(listed).encode()}
    status, answer = engine.call("POST", "/images/load", pack([member(name, data) for name, data in files.items()]))
    assert status == 200, answer
    if "error" not in answer:
        saved = engine.ok("GET", f"/images/{name}/get")
        with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
            layer = archive.extractfile(f"blobs/sha256/{digest[7:]}")
            assert layer and layer.read() == data
        container = engine.create("/x", Image=name)
        engine.ok("GET", f"/containers/{container}/export")
        engine.ok("DELETE", f"/containers/{container}")
        engine.ok("DELETE", f"/images/{name}")


def through_import(engine: Engine, data: bytes) -> None:
    status, answer = engine.call("POST", "/images/create", data, fromSrc="-")
    assert status in (200, 400), answer
    if status == 200:
        engine.ok("DELETE", f"/images/{answer['status']}")


def through_copy(engine: Engine, data: bytes) -> None:
    for start in (False, True):
        container = engine.create("sleep", "1000")
        if start:
            engine.ok("POST", f"/containers/{container}/start")
        for path in ("/", "/tmp"):
            status, answer = engine.call("PUT", f"/containers/{container}/archive", data, path=path)
            assert status in (200, 400) or (status == 500 and "cannot unpack" in answer["message"]), answer
        engine.ok("DELETE", f"/containers/{container}", force=1)


DOORS = {"load": through_load, "import": through_import, "copy": through_copy}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("vector", VECTORS)
def test_what_aims_outside(engine: Engine, canary: Path, door: str, vector: str) -> None:
    DOORS[door](engine, pack(VECTORS[vector](str(canary))))
    assert engine.answers()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken(engine: Engine, canary: Path, door: str, name: str) -> None:
    DOORS[door](engine, broken(name))
    assert engine.answers()


def test_programs_of_the_container_have_no_part_in_it(engine: Engine, canary: Path) -> None:
    """An image whose helpers would betray whoever runs them (CVE-2026-41567, CVE-2019-14271)."""
    script = f"#!/bin/sh\n/bin/touch {canary}/ran\n".encode()
    trap = [
        member(f"usr/bin/{name}", script, mode=0o755)
        for name in ("xz", "gzip", "unpigz", "pigz", "zstd", "tar", "bzip2")
    ]
    trap += [member(f"lib/x86_64-linux-gnu/{name}", b"\x7fELF", mode=0o755) for name in ("libnss_files.so.2",)]
    container = engine.running("sleep", "1000")
    engine.ok("PUT", f"/containers/{container}/archive", pack(trap), path="/")
    data = gzip.compress(pack([member("f", b"1")]))
    engine.ok("PUT", f"/containers/{container}/archive", data, path="/tmp", copyUIDGID=1)
    engine.ok("GET", f"/containers/{container}/archive", path="/tmp/f")
    engine.ok("DELETE", f"/containers/{container}", force=1)
